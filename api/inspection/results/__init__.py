"""Results of inspections: ``read`` the queue, ``parse`` the files, ``save`` what they say."""
