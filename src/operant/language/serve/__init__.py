"""Language models that answer: a server that speaks OpenAI's protocol, and a client."""
