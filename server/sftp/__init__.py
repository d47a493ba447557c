"""The SFTP side: log-in, the mailbox tree, uploads. It decides nothing: it asks the exchange and passes it on."""
