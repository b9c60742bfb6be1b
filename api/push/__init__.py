"""Usage changes over Kafka (spec 14), in the order in which a change walks through the modules.

``outbox`` notes, in the transaction that changed a day, that consumers have to hear of it. It lies
low, beside ``api.metering``, which calls it; the other modules lie above whatever a message shows.
``claims`` takes entries of the outbox and puts them aside or back. ``messages`` makes CloudEvents
of days, ``swatch`` makes Subscription Watch's messages of running hours. ``publisher`` sends both
and ``replay`` has days sent again. ``metrics`` tells how the outbox is doing.
"""
