"""Floor 2: where road and language meet: templates, ask, answer, codecs, grammar."""
