"""Worlds of others: tasksets of verifiers, OpenEnv servers, AppWorld servers, tasks of BrowserGym's form."""
