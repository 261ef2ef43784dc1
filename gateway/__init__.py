"""The security gateway: worker processes carry exchanges, one control process looks after them."""
