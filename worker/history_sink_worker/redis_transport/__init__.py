"""Kombu's Redis transport, made safe against crashes."""
