"""What is said: structs and bytes, no logic. Read `requests`, `responses`, `entries`, `peer`, `local`, then `codec`."""
