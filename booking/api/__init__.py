"""HTTP on the write side: routes translate and do not decide.

* `inventory`, `slots`, `bookings`, `commands` - the routes, one noun each
* `desk` - requests become calls, decisions become answers
* `headers`, `problems`, `documents` - what may be asked, refused and shown
"""
