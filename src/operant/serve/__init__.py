"""Language models that answer: rows that come and go in one batch, a server that speaks OpenAI's protocol, a client."""
