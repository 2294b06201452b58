"""The subcommands of ``rialto``: each module adds its parser; what a command needs is imported when it runs."""
