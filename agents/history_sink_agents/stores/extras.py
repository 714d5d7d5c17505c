"""What to say where an SDK is not installed."""


def name_extra(module: str, extra: str, missing: ModuleNotFoundError) -> ModuleNotFoundError:
    """The error that says what to install.

    Args:
        module: The module that was imported.
        extra: The extra of this project that it needs.
        missing: What was raised. Where a module of this project is missing, nothing is to be installed.

    Returns:
        What to raise in its place.
    """
    if (missing.name or "").partition(".")[0].startswith("history_sink"):
        return missing
    return ModuleNotFoundError(
        f"{module} needs the extra: pip install 'history-sink[{extra}]' ({missing.name} is missing)", name=missing.name
    )
