"""What is to be written so that every Service has its addresses and every host knows of them."""
