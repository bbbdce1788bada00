complete --keep-order --exclusive --command hookfire --arguments "(HOOKFIRE_COMPLETE=fish hookfire -- (commandline --current-process --tokenize --cut-at-cursor) (commandline --current-token))"
