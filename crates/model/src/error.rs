//! The two questions every error answers: whose fault, and is trying again safe.

use crate::text_enum::text_enum;

text_enum! {
    /// Whose fault an error is; decides between `ERROR` at once and retry with backoff.
    Blame {
        /// The user asked for what cannot be: no retry helps until they change it.
        Caller = "caller",
        /// Something we depend on (cloud, database, agent) failed: retried with backoff.
        Dependency = "dependency",
        /// A defect of ours.
        Us = "us",
    }
}

text_enum! {
    /// Whether the same call may be made again.
    Retry {
        Safe = "safe",
        Never = "never",
    }
}
