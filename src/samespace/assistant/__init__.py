"""Questions about pictures: what is asked, who answers, and with which weights."""
