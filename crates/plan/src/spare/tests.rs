use newtype_uuid::GenericUuid;
use octavia_model::{AmphoraId, AmphoraStatus};
use octavia_wire::{AgentInfo, PapersReport, WIRE_VERSION};
use uuid::Uuid;

use super::*;
use crate::ObservedServer;

const MARK: &str = "mark";

fn id(n: u8) -> AmphoraId {
    AmphoraId::from_untyped_uuid(Uuid::from_u128(n.into()))
}

fn options(size: usize) -> SpareOptions {
    SpareOptions {
        size,
        builds: 2,
        boot_timeout: SignedDuration::from_mins(10),
        heartbeat_timeout: SignedDuration::from_secs(60),
        renew_before: SignedDuration::from_hours(24),
    }
}

fn start() -> Timestamp {
    "2026-01-01T00:00:00Z".parse().unwrap()
}

/// Written once, and not heard since.
fn row(n: u8, status: AmphoraStatus) -> Amphora {
    let mut row = Amphora::spare(id(n), start() + SignedDuration::from_secs(n.into()));
    row.status = status;
    row.updated_at = Some(row.created_at);
    row.cert_authority = Some("authority".to_owned());
    row.cert_expiration = Some(start() + SignedDuration::from_hours(48));
    row
}

fn agent(n: u8, mark: &str) -> AgentInfo {
    AgentInfo {
        amphora_id: id(n),
        api_version: String::new(),
        software_version: String::new(),
        wire_version: WIRE_VERSION,
        boot: Some(Uuid::nil()),
        fence: 0,
        generation: 0,
        faults: vec![],
        interfaces: vec![],
        vrrp: None,
        refresh_at: None,
        papers: Some(PapersReport { fence: 0, mark: mark.to_owned() }),
        takeover: None,
        predecessors: 0,
    }
}

fn server(power: ServerPower) -> Known<ObservedServer> {
    Known::Yes(ObservedServer { compute_id: String::new(), power, agent: None })
}

/// An answering agent on a running server; `None` = it does not answer.
fn seen(agent: Option<AgentInfo>) -> ObservedAmphora {
    ObservedAmphora { server: server(ServerPower::Running), agent }
}

fn plan_at(
    seconds: i64,
    rows: &[Amphora],
    observed: Vec<(u8, ObservedAmphora)>,
    size: usize,
) -> Vec<SpareStep> {
    let observed = observed.into_iter().map(|(n, seen)| (id(n), seen)).collect();
    let trust = WantedPapers { mark: MARK.to_owned(), authority: "authority".to_owned() };
    plan_spares(rows, &observed, &trust, start() + SignedDuration::from_secs(seconds), &options(size))
}

#[test]
fn as_many_as_wanted_and_few_at_once() {
    use AmphoraStatus::{Booting, PendingCreate, PendingDelete, Ready};
    use SpareStep::{Create, Delete, Retire};

    let ready = |n| (n, seen(Some(agent(n, MARK))));
    let boots = |n| (n, seen(None));
    for (what, rows, observed, size, wanted) in [
        ("none wanted", vec![], vec![], 0, vec![]),
        ("the first", vec![], vec![], 1, vec![Create]),
        ("two at once", vec![], vec![], 5, vec![Create; 2]),
        ("one is on its way", vec![row(1, Booting)], vec![boots(1)], 5, vec![Create]),
        ("two are", vec![row(1, Booting), row(2, Booting)], vec![boots(1), boots(2)], 5, vec![]),
        ("all there", vec![row(1, Ready), row(2, Ready)], vec![ready(1), ready(2)], 2, vec![]),
        // Those that are good for something stay.
        (
            "too many",
            vec![row(1, PendingCreate), row(2, Ready), row(3, Ready)],
            vec![ready(2), ready(3)],
            1,
            vec![Retire(id(3), Unfit::Surplus), Retire(id(1), Unfit::Surplus)],
        ),
        ("leaving is not there", vec![row(1, PendingDelete)], vec![], 1, vec![Delete(id(1)), Create]),
        ("no more wanted", vec![row(1, Ready)], vec![ready(1)], 0, vec![Retire(id(1), Unfit::Surplus)]),
    ] {
        assert_eq!(plan_at(10, &rows, observed, size), wanted, "{what}");
    }
}

#[test]
fn each_on_its_way_and_to_its_end() {
    use AmphoraStatus::{Booting, PendingCreate, Ready};
    use SpareStep::{PapersPush, Retire, ServerEnsure};

    let unseen = |server| ObservedAmphora { server, agent: None };
    let mute = || seen(None);
    let answers = |mark| seen(Some(agent(1, mark)));
    let no_proxy = || seen(Some(AgentInfo { boot: None, ..agent(1, MARK) }));
    let gone = |why| Some(Retire(id(1), why));
    for (what, status, seconds, observed, wanted) in [
        ("nothing made", PendingCreate, 5, unseen(Known::No), Some(ServerEnsure(id(1)))),
        ("nobody knows", PendingCreate, 5, unseen(Known::Unknown), None),
        ("made, and nobody wrote it", PendingCreate, 5, mute(), Some(ServerEnsure(id(1)))),
        ("up, and nobody wrote it", PendingCreate, 5, answers(MARK), Some(ServerEnsure(id(1)))),
        ("boots", Booting, 5, mute(), None),
        ("without a proxy yet", Booting, 5, no_proxy(), None),
        ("up", Booting, 5, answers(MARK), Some(SpareStep::Ready(id(1)))),
        ("for ever", Booting, 602, mute(), gone(Unfit::NoBoot)),
        ("its server is gone", Booting, 5, unseen(Known::No), gone(Unfit::NoServer)),
        ("its server stopped", Ready, 5, unseen(server(ServerPower::Stopped)), gone(Unfit::NoServer)),
        ("its server failed", Booting, 5, unseen(server(ServerPower::Failed)), gone(Unfit::NoServer)),
        ("whether it is there is unknown", Ready, 500, unseen(Known::Unknown), None),
        ("does not answer now", Ready, 5, mute(), None),
        ("does not answer any more", Ready, 62, mute(), gone(Unfit::Silent)),
        ("lost its proxy", Ready, 5, no_proxy(), None),
        ("has no proxy any more", Ready, 62, no_proxy(), gone(Unfit::Silent)),
        ("well", Ready, 500, answers(MARK), None),
        ("its papers are of before", Ready, 5, answers("other"), Some(PapersPush(id(1)))),
        ("its certificate ends soon", Ready, 25 * 3600, answers(MARK), Some(PapersPush(id(1)))),
    ] {
        let steps = plan_at(seconds, &[row(1, status)], vec![(1, observed)], 1);
        assert_eq!(steps, wanted.into_iter().collect::<Vec<_>>(), "{what}");
    }
}

/// Then it is the controller that hears nobody.
#[test]
fn most_of_several_are_not_given_up_at_once() {
    let rows: Vec<Amphora> = (1..=4).map(|n| row(n, AmphoraStatus::Ready)).collect();
    let observed = |answering: u8| {
        (1..=4).map(|n| (n, seen((n <= answering).then(|| agent(n, MARK))))).collect::<Vec<_>>()
    };
    assert_eq!(plan_at(100, &rows, observed(0), 4), []);
    assert_eq!(plan_at(100, &rows, observed(1), 4), []);
    let gone = |n| SpareStep::Retire(id(n), Unfit::Silent);
    assert_eq!(plan_at(100, &rows, observed(2), 4), [gone(3), gone(4)]);
    // A beat is as good as an answer.
    let mut beating = rows.clone();
    beating[3].last_heartbeat_at = Some(start() + SignedDuration::from_secs(90));
    assert_eq!(plan_at(100, &beating, observed(2), 4), [gone(3)]);
}
