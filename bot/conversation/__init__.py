"""Words and buttons become verbs of the exchange, and what comes back is a Reply or a Form. Free of any chat SDK."""

from bot.conversation.answer import Account, Choice, Field, Form, Reply
from bot.conversation.buttons import Buttons
from bot.conversation.questions import ASKS, check
from bot.conversation.words import Words

__all__ = ["ASKS", "Account", "Buttons", "Choice", "Field", "Form", "Reply", "Words", "check"]
