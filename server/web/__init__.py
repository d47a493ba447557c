"""The web side: health, readiness, metrics, and whatever pages and endpoints it is handed. It decides nothing."""

from server.web.application import web_app

__all__ = ["web_app"]
