"""From argv to frozen settings: flags, subcommands, the parser, and suggestions for what was mistyped."""
