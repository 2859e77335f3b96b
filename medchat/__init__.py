"""MedChat: chat with medical reasoning models, compare them blinded, and train them on the judgements."""

__version__ = "0.1.0"
