use std::net::SocketAddr;
use std::time::Duration;

use octavia_model::{LoadBalancerId, MemberId, PoolId};
use octavia_wire::sharing::{Mark, Marks, SharedTable};
use octavia_wire::{StickSubject, TicketRoot};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use uuid::Uuid;

use super::*;

const LIMIT: Duration = Duration::from_secs(20);

fn ip(last: u8) -> IpAddr {
    [127, 0, 0, last].into()
}

/// A port that is free at the addresses of the tests.
fn port() -> u16 {
    let listener = std::net::TcpListener::bind((ip(1), 0)).unwrap();
    listener.local_addr().unwrap().port()
}

fn circle(source: u8, peers: &[u8], port: u16, key: u8) -> Circle {
    let key = TicketRoot::new(&[key; 32]).sharing_key(LoadBalancerId::nil());
    let peers = peers.iter().map(|last| ip(*last)).collect();
    Circle { source: ip(source), peers, sharing: SharingSpec { port, key } }
}

fn sharing(circle: Circle) -> Sharing {
    let mut sharing = Sharing::new(None);
    sharing.circle = Some(circle);
    sharing.begin();
    sharing
}

fn table(turn: u64) -> SharedTable {
    let mark = Mark { table: Uuid::nil(), turn, until: 1 };
    SharedTable { subject: StickSubject::Address(None), entries: vec![(turn, MemberId::nil(), 0)], mark }
}

/// What it is asked next.
async fn asked(sharing: &mut Sharing) -> Question {
    timeout(LIMIT, sharing.asked()).await.expect("a question")
}

/// What a peer is known to know, once it asks; it is told this.
async fn tell(sharing: &mut Sharing, tables: SharedTables) -> Marks {
    match asked(sharing).await {
        Question::News(ask, answer) => {
            answer.send(Answer { tables }).unwrap();
            ask.since
        }
        Question::Learn(..) => panic!("nobody has told it anything"),
    }
}

/// What it is told next; of it, it knows these pools. Who asks meanwhile hears of nothing new.
async fn learn(sharing: &mut Sharing, known: Vec<PoolId>) -> SharedTables {
    loop {
        match asked(sharing).await {
            Question::Learn(tables, answer) => {
                answer.send(known).unwrap();
                return tables;
            }
            Question::News(_, answer) => answer.send(Answer::default()).unwrap(),
        }
    }
}

#[tokio::test]
async fn what_is_told_and_known_is_not_asked_for_again() {
    let port = port();
    let mut holder = sharing(circle(1, &[2], port, 1));
    let mut waits = sharing(circle(2, &[1], port, 1));
    let (one, two) = (PoolId::new_v4(), PoolId::new_v4());
    let both = || SharedTables::from([(one, table(5)), (two, table(6))]);
    let mark = |turn| table(turn).mark;
    let never = SharedTables::new();

    assert_eq!(tell(&mut holder, both()).await, Marks::new());
    assert_eq!(learn(&mut waits, vec![one]).await, both());
    assert_eq!(
        tell(&mut holder, never.clone()).await,
        Marks::from([(one, mark(5))]),
        "it has no table of the other"
    );
    assert_eq!(tell(&mut holder, both()).await, Marks::from([(one, mark(5))]));
    assert_eq!(learn(&mut waits, vec![one, two]).await, both());
    assert_eq!(tell(&mut holder, never.clone()).await, Marks::from([(one, mark(5)), (two, mark(6))]));

    // The one starts again, and then the other one forgets all it knew: there is nothing they could go on from.
    drop(holder);
    let mut holder = sharing(circle(1, &[2], port, 1));
    assert_eq!(tell(&mut holder, both()).await, Marks::new());
    assert_eq!(learn(&mut waits, vec![one, two]).await, both());
    waits.begin();
    while !tell(&mut holder, never.clone()).await.is_empty() {}
}

/// Whoever has not the key is told nothing, and neither is who has no business here.
#[tokio::test]
async fn strangers_are_told_nothing() {
    let port = port();
    let mut holder = sharing(circle(1, &[2, 3], port, 1));
    let _other_key = sharing(circle(2, &[1], port, 2));
    let _no_peer = sharing(circle(4, &[1], port, 1));
    let address = SocketAddr::new(ip(1), port);
    let from = |last| {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((ip(last), 0).into()).unwrap();
        socket.connect(address)
    };
    let ended = async |mut stream: TcpStream| {
        let mut answer = vec![];
        // A reset is an end, too.
        let _ = timeout(LIMIT, stream.read_to_end(&mut answer)).await.expect("an end");
        answer.len()
    };
    let wait = async || loop {
        if let Ok(stream) = from(4).await {
            return stream;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(ended(wait().await).await, 0, "no peer is not even greeted");
    let (peer, length) = (from(3), octavia_wire::sharing::Greeting::LENGTH);
    let mut peer = peer.await.unwrap();
    peer.write_all(b"GET / HTTP/1.1\r\nHost: peer\r\n\r\n").await.unwrap();
    assert_eq!(ended(peer).await, length, "greeted, and no more");
    // Nobody who asks gets as far as the proxy.
    let mut peer = sharing(circle(3, &[1], port, 1));
    assert_eq!(tell(&mut holder, SharedTables::from([(PoolId::nil(), table(1))])).await, Marks::new());
    assert_eq!(learn(&mut peer, vec![]).await.len(), 1);
}

#[test]
fn who_shares() {
    use octavia_model::{Algorithm, PoolProtocol};
    use octavia_wire::{NetworkSpec, VrrpSpec, VrrpVersion};

    let vrrp = |peers: &[u8], shares: bool| VrrpSpec {
        interface: "52:54:00:00:00:01".parse().unwrap(),
        version: VrrpVersion::V3,
        router_id: 1,
        priority: 100,
        advert_interval_ms: 200,
        preempt: false,
        source: ip(1),
        peers: peers.iter().map(|last| ip(*last)).collect(),
        password: None,
        vips: vec![],
        announce_refresh_s: 5,
        announce_refresh_count: 2,
        sharing: shares.then(|| circle(1, &[], 1025, 1).sharing),
    };
    let source = PersistenceSpec::SourceIp { granularity: None, timeout: 0 };
    let app = PersistenceSpec::AppCookie { name: "sid".to_owned() };
    for (persistence, vrrp, shared) in [
        (Some(&source), Some(vrrp(&[2], true)), true),
        (Some(&app), Some(vrrp(&[2, 3], true)), true),
        (Some(&PersistenceSpec::HttpCookie), Some(vrrp(&[2], true)), false),
        (None, Some(vrrp(&[2], true)), false),
        (Some(&source), Some(vrrp(&[], true)), false),
        (Some(&source), Some(vrrp(&[2], false)), false),
        (Some(&source), None, false),
    ] {
        let pool = PoolSpec {
            id: PoolId::nil(),
            protocol: PoolProtocol::Http,
            algorithm: Algorithm::RoundRobin,
            persistence: persistence.cloned(),
            members: vec![],
            monitor: None,
            tls: None,
        };
        let network = Some(NetworkSpec { interfaces: vec![], vrrp: vrrp.clone() });
        let spec = AmphoraSpec {
            version: octavia_wire::WIRE_VERSION,
            amphora_id: octavia_model::AmphoraId::nil(),
            load_balancer_id: LoadBalancerId::nil(),
            generation: 1,
            fence: 1,
            vips: vec![],
            listeners: vec![],
            pools: vec![pool],
            access_log: None,
            sorry_pages: vec![],
            network,
            tickets: None,
        };
        assert_eq!(Circle::of(&spec).is_some(), shared, "{persistence:?} {vrrp:?}");
    }
}
