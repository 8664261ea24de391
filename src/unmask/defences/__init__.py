"""What an owner can do to vectors before somebody else reads them."""
