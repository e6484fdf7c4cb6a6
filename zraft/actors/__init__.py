"""The processes of a node: each polls its sockets, decodes, steps a core, and sends what the core wants sent."""
