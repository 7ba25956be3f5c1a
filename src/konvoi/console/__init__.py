"""What the commands print: tables and bars for a terminal, a file a subject. Nothing is computed here."""
