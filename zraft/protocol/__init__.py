"""What is said: structs and bytes, no logic. Read `client`, `entries`, `peer`, `local`, then `codec`."""
