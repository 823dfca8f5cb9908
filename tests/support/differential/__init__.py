"""kbroker and Apache Kafka side by side: the same raw requests, the answers compared field by field. See __main__."""
