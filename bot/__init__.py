"""People in chat: words and buttons become verbs of the exchange, notices become messages."""
