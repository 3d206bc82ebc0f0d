"""What can be asked of the read model, one question per file.

* `get_resource`, `find_resources` - resources and their policies
* `get_slot`, `find_availability`, `slots_to_stream` - what is left, and when
* `get_booking`, `find_bookings` - a customer's bookings, the list at the door
* `show_consistency` - who is at work on this read model, and how far each has come
* `report_query_node`, `report_projector` - the rows in which they say so

Every answer comes from one statement that also returns the checkpoint, so its rows, its position
and its as_of are of one snapshot (`found`, `standing`). What is asked most is asked together (`together`).
"""
