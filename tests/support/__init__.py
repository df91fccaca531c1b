"""What tests are made with: builders and helpers that several files of tests share."""
