//! Which host a server gets. Pure.

use octavia_model::AmphoraId;

use super::HostNumber;
use crate::{CloudError, Placement};

/// A host as it is when a server looks for one.
#[derive(Debug, Clone)]
pub(in crate::local) struct Candidate {
    pub(in crate::local) host: HostNumber,
    pub(in crate::local) zone: String,
    /// Reached from the fabric.
    pub(in crate::local) up: bool,
    pub(in crate::local) servers: Vec<AmphoraId>,
}

/// Of the zone that is asked for, apart from whom it should be apart from, with the fewest servers.
///
/// # Errors
///
/// `Blame::Caller` if there is no such zone; else the cloud is full, which passes.
pub(in crate::local) fn place(
    candidates: &[Candidate],
    wanted: &Placement,
) -> Result<HostNumber, CloudError> {
    let in_zone = |candidate: &&Candidate| wanted.zone.as_ref().is_none_or(|zone| *zone == candidate.zone);
    let zoned: Vec<_> = candidates.iter().filter(in_zone).collect();
    if let (true, Some(zone)) = (zoned.is_empty(), &wanted.zone) {
        return Err(CloudError::refused(format!("no host is in availability zone {zone}")));
    }
    let near = |candidate: &Candidate| {
        candidate.servers.iter().filter(|server| wanted.apart_from.contains(*server)).count()
    };
    zoned
        .into_iter()
        .filter(|candidate| candidate.up && !(wanted.strictly && near(candidate) > 0))
        .min_by_key(|candidate| (near(candidate), candidate.servers.len(), candidate.host))
        .map(|candidate| candidate.host)
        .ok_or_else(|| CloudError::unavailable("no host is free for the server"))
}

#[cfg(test)]
mod tests {
    use octavia_model::Blame;

    use super::*;

    #[test]
    fn hosts_are_chosen() {
        let ids: Vec<_> = (0..5).map(|_| AmphoraId::new_v4()).collect();
        let candidate = |host, zone: &str, up, servers: &[usize]| Candidate {
            host: HostNumber(host),
            zone: zone.into(),
            up,
            servers: servers.iter().map(|at| ids[*at]).collect(),
        };
        let hosts = [
            candidate(1, "a", true, &[0, 1]),
            candidate(2, "a", true, &[2]),
            candidate(3, "b", true, &[3]),
            candidate(4, "b", false, &[]),
        ];
        for (what, zone, apart_from, strictly, expected) in [
            ("the emptiest that is up", None, vec![], false, Ok(2)),
            ("apart", None, vec![2], false, Ok(3)),
            ("apart from several", None, vec![2, 3], false, Ok(1)),
            ("a zone", Some("b"), vec![], false, Ok(3)),
            ("apart in a zone", Some("a"), vec![2], true, Ok(1)),
            ("softly, with nowhere else to go", Some("b"), vec![3], false, Ok(3)),
            ("strictly, with nowhere else to go", Some("b"), vec![3], true, Err(Blame::Dependency)),
            ("as little near as can be", Some("a"), vec![0, 1, 2], false, Ok(2)),
            ("no such zone", Some("c"), vec![], false, Err(Blame::Caller)),
        ] {
            let apart_from = apart_from.into_iter().map(|at: usize| ids[at]).collect();
            let wanted = Placement { apart_from, strictly, zone: zone.map(str::to_owned) };
            let host = place(&hosts, &wanted).map(|host| host.0).map_err(|error| error.blame);
            assert_eq!(host, expected, "{what}");
        }
    }
}
