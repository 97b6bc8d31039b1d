"""HTTP: routes and validation from the contract, handlers, and who may call."""
