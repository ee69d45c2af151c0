"""One module per claim: its ``main()`` returns the figures, by name."""
