"""The exchange: an SFTP server that checks, seals and delivers files under one written agreement."""
