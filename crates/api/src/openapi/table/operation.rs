use super::*;
use crate::openapi::attribute::{Filters, attributes};

pub(in crate::openapi) const OPERATION: Resource = Resource {
    schema: "Operation",
    noun: "operation",
    plural: "operations",
    page: "operation",
    root: "operation",
    list: "operations",
    links: Some("operations_links"),
    filters: Filters::Nothing,
    one_of: &[],
    about: "What a worker did or is doing for a load balancer. Not in the original.",
    examples: &[
        ("What is done for a load balancer", "octavia lb operations web"),
        ("With curl", r#"curl -H "X-Auth-Token: $TOKEN" $URL/v2/lbaas/loadbalancers/$ID/operations"#),
    ],
    attributes: attributes! {
        "id", Uuid, No No No Yes, 0, ID;
        "kind", Text(0), No No No Yes, 0, "The step that is taken.";
        "amphora_id", Uuid, No No No Null, 0, "The amphora it is taken for.";
        "generation", Integer(0, MOST), No No No Yes, 0, "The version of the desired state it is taken for.";
        "worker_id", Uuid, No No No Yes, 0, "The worker that takes it.";
        "started_at", Time, No No No Yes, 0, "When it began.";
        "finished_at", Time, No No No Null, 0, "When it ended; null while it is under way, or when its worker died.";
        "error", Text(0), No No No Null, 0, "What it failed with.";
        "request_ids", Texts(255), No No No Yes, 0, "The requests that there was work for, the oldest first: their own ids, and before them those that callers gave; the newest 6 ids at most. Empty where the worker acted by itself.";
        "position", Integer(1, MOST), No No No Null, 0, "Of kind turn_wait, while it is under way: the place among the load balancers that wait until servers are made for them, of which so many may be in the making at once.";
        "waits_for", Text(0), No No No Null, 0, "With a position: what is waited for, in words.";
    },
};
