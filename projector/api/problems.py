"""The problem types of queries: what is not there, and what cannot be answered fresh enough."""

from booking.edge.problems import ProblemType, table_of

PROBLEMS = table_of(
    ProblemType(
        slug="resource-not-found",
        title="There is no such resource",
        status=404,
        meaning="No resource has this id, as of the position named.",
        remedy="If it was made a moment ago, send the `Consistency-Token` of the answer that said so.",
    ),
    ProblemType(
        slug="slot-not-found",
        title="There is no such slot",
        status=404,
        meaning="No slot has this id, as of the position named.",
        remedy="If it was opened a moment ago, send the `Consistency-Token` of the answer that said so.",
    ),
    ProblemType(
        slug="booking-not-found",
        title="There is no such booking",
        status=404,
        meaning="No booking that the caller may see has this id, as of the position named.",
        remedy="If it was made a moment ago, send the `Consistency-Token` of the answer that said so.",
    ),
    ProblemType(
        slug="invalid-token",
        title="The consistency token cannot be read",
        status=400,
        meaning="It is malformed, or was not signed by this system.",
        remedy="Send a token exactly as an answer carried it, or none.",
    ),
    ProblemType(
        slug="invalid-cursor",
        title="The cursor does not belong to this list",
        status=400,
        meaning="It is malformed, or was given for other filters.",
        remedy="Begin the list again without a cursor.",
    ),
    ProblemType(
        slug="token-from-the-future",
        title="The token names a position that the log does not have",
        status=400,
        meaning="The log ends before the position of the token.",
        remedy="Drop the token; it was not given by this log.",
    ),
    ProblemType(
        slug="token-epoch-changed",
        title="The token is of a history that is no more",
        status=410,
        meaning="The log was put back to an older copy since the token was given.",
        remedy="Drop the token, read again, and check what you believed to have happened.",
    ),
    ProblemType(
        slug="read-model-behind",
        title="The read model has not come that far yet",
        status=412,
        meaning="The position asked for was not applied within the time given to wait.",
        remedy="Ask again, wait longer (`Prefer: wait=N`), or take what there is "
        "(`Prefer: handling=lenient`).",
    ),
    ProblemType(
        slug="too-stale",
        title="The answer would be older than asked for",
        status=412,
        meaning="The read model has not heard everything up to the age asked for.",
        remedy="Ask again, wait longer (`Prefer: wait=N`), or accept an older answer.",
    ),
    ProblemType(
        slug="suspect",
        title="The answer may lack something",
        status=412,
        meaning="An event that concerns it could not be taken in, so no level above `eventual` is "
        "promised.",
        remedy="Ask without conditions or with `Prefer: handling=lenient`; an operator is told, and "
        "`projector dead-letters` mends it.",
    ),
    ProblemType(
        slug="not-satisfied-here",
        title="Not satisfied without waiting",
        status=504,
        meaning="`only-if-cached` forbids to wait, and the conditions are not met now.",
        remedy="Ask without `only-if-cached`.",
    ),
    ProblemType(
        slug="rebuilding",
        title="The read model is being rebuilt",
        status=503,
        meaning="It has not caught up with the log since it began anew; it would not tell the truth.",
        remedy="Ask again after `Retry-After`.",
    ),
    ProblemType(
        slug="queue-full",
        title="Too much at once",
        status=503,
        meaning="As much as this process takes at a time is already waiting or streaming.",
        remedy="Ask again after `Retry-After`.",
    ),
    ProblemType(
        slug="not-in-this-arm",
        title="Not part of this experiment",
        status=501,
        meaning="The laboratory runs with another guard than the product's, which cannot answer this.",
        remedy="Ask the product; this answer exists in the laboratory only.",
    ),
    ProblemType(
        slug="log-unreachable",
        title="The log cannot be asked",
        status=503,
        meaning="How fresh an answer is cannot be judged while the primary database is away.",
        remedy="Ask again after `Retry-After`, or read without asking for freshness.",
    ),
)
