//! Ids of requests: how what one request set off is found in the logs of every process that worked for it.

/// The header that ids of requests travel in, as in all of OpenStack: in a request, who sent it says which request it
/// belongs to (its *global* id); in an answer, it is the request's own.
pub const REQUEST_ID_HEADER: &str = "x-openstack-request-id";

/// Ids kept with one load balancer, and sent with one spec: the newest.
pub const REQUEST_IDS_MAX: usize = 6;

/// Whether a text is the id of a request: `req-` and a UUID with hyphens, 40 characters. What looks otherwise is in no
/// log: it may be made to look like other lines.
pub fn is_request_id(text: &str) -> bool {
    let uuid = text.strip_prefix("req-").filter(|uuid| uuid.len() == 36);
    uuid.is_some_and(|uuid| uuid::Uuid::try_parse(uuid).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_an_id() {
        let good = "req-2f3a0a3c-5d6e-4f70-8192-a3b4c5d6e7f8";
        let long = format!("{good}{}", "0".repeat(1000));
        for (text, is_one) in [
            (good, true),
            ("req-2F3A0A3C-5D6E-4F70-8192-A3B4C5D6E7F8", true),
            ("2f3a0a3c-5d6e-4f70-8192-a3b4c5d6e7f8", false),
            ("REQ-2f3a0a3c-5d6e-4f70-8192-a3b4c5d6e7f8", false),
            ("req-2f3a0a3c5d6e4f708192a3b4c5d6e7f8", false),
            ("req-{2f3a0a3c-5d6e-4f70-8192-a3b4c5d6e7f8}", false),
            ("req-urn:uuid:2f3a0a3c-5d6e-4f70-8192-a3b4c5d6e7f8", false),
            ("req-2f3a0a3c-5d6e-4f70-8192-a3b4c5d6e7f8 lb=x", false),
            (" req-2f3a0a3c-5d6e-4f70-8192-a3b4c5d6e7f8", false),
            ("req-2f3a0a3c-5d6e-4f70-8192-a3b4c5d6e7\u{e9}", false),
            (long.as_str(), false),
            ("req-\u{e9}", false),
            ("req-", false),
            ("", false),
        ] {
            assert_eq!(is_request_id(text), is_one, "{text:?}");
        }
    }
}
