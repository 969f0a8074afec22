"""A data hub for linked_context: `GET /datahub/entities/{type}/{id}` makes up an entity; there is none `absent-…`."""

from workers.simulator.messages import SimulatedRefusal, SimulatedReply, SimulatedRequest, Twist, json_reply

#: Ids that begin so are not there.
ABSENT = "absent"


def entity(request: SimulatedRequest, twist: Twist) -> SimulatedReply:
    """What the hub knows of one."""
    type, _, id = request.name.partition("/")
    if id.startswith(ABSENT):
        raise SimulatedRefusal(404, f"There is no {type} {id}.", code="not_found")
    known = {"source": "simulated hub", "length": len(id)}
    return json_reply(
        {"type": type, "id": id, "name": f"Hub {id}", "attributes": known, "text": f"All about {id}.", "version": 3}
    )
