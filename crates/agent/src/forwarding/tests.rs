//! Rules as they follow from specs, how they change, and whether the kernel takes them.

use octavia_model::{Algorithm, AmphoraId, ListenerProtocol, LoadBalancerId, PoolId, PoolProtocol};
use octavia_wire::{
    ListenerSpec, MemberSpec, NetworkSpec, PersistenceSpec, PoolSpec, TimeoutsSpec, WIRE_VERSION,
};

use super::flow::Flow;
use super::rules::Kind;
use super::*;

fn uuid(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn id<K: octavia_model::IdKind>(number: u128) -> newtype_uuid::TypedUuid<K> {
    newtype_uuid::GenericUuid::from_untyped_uuid(uuid(number))
}

/// `1=10.0.0.1:53*3` = member 1 of weight 3; `~` after it = backup, `-` = in maintenance, `!` = down.
fn member(text: &str) -> (MemberSpec, bool) {
    let (number, rest) = text.split_once('=').unwrap();
    let flags = rest.trim_start_matches(|c| !"~-!".contains(c));
    let rest = rest.trim_end_matches(['~', '-', '!']);
    let (address, weight) = rest.split_once('*').unwrap_or((rest, "1"));
    let address: std::net::SocketAddr = address.parse().unwrap();
    let member = MemberSpec {
        id: id(number.parse().unwrap()),
        address: address.ip(),
        port: address.port(),
        weight: weight.parse().unwrap(),
        backup: flags.contains('~'),
        enabled: !flags.contains('-'),
        monitor_address: None,
        monitor_port: None,
    };
    (member, flags.contains('!'))
}

fn listener(number: u128, protocol: ListenerProtocol, port: u16, pool: Option<PoolId>) -> ListenerSpec {
    ListenerSpec {
        id: id(number),
        protocol,
        port,
        connection_limit: None,
        default_pool: pool,
        insert_headers: vec![],
        timeouts: TimeoutsSpec { client_data: 0, member_connect: 0, member_data: 0, tcp_inspect: 0 },
        allowed_cidrs: vec![],
        accept_proxy: vec![],
        l7policies: vec![],
        tls: None,
    }
}

/// One listener of UDP on port 53 of two VIPs, and who is down.
fn spec(members: &str) -> (AmphoraSpec, BTreeSet<MemberId>) {
    let members: Vec<_> = members.split_whitespace().map(member).collect();
    let down = members.iter().filter(|(_, down)| *down).map(|(member, _)| member.id).collect();
    let pool = PoolSpec {
        id: id(0xb),
        protocol: PoolProtocol::Udp,
        algorithm: Algorithm::RoundRobin,
        persistence: None,
        members: members.into_iter().map(|(member, _)| member).collect(),
        monitor: None,
        tls: None,
    };
    let spec = AmphoraSpec {
        version: WIRE_VERSION,
        amphora_id: AmphoraId::nil(),
        load_balancer_id: LoadBalancerId::nil(),
        generation: 1,
        fence: 1,
        vips: vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()],
        listeners: vec![listener(0xa, ListenerProtocol::Udp, 53, Some(pool.id))],
        pools: vec![pool],
        access_log: None,
        sorry_pages: vec![],
        network: Some(NetworkSpec::default()),
        tickets: None,
    };
    (spec, down)
}

fn boot() -> Uuid {
    uuid(0x12345678 << 96)
}

/// The rules of a chain, one a line, with ids cut to their end.
fn chain(rules: &Rules, name: &str) -> String {
    rules.chains[name].rules.iter().map(|rule| format!("{}\n", short(rule))).collect()
}

fn short(text: &str) -> String {
    text.replace("00000000-0000-0000-0000-00000000000", "")
}

fn name(what: &str, family: &str) -> String {
    format!("{what}-{}-{family}", uuid(0xa))
}

#[test]
fn to_whom_new_flows_go() {
    use Algorithm::{LeastConnections, RoundRobin, SourceIp};
    for (algorithm, members, expected) in [
        (RoundRobin, "1=10.0.0.1:53", "0x00000001"),
        (
            RoundRobin,
            "1=10.0.0.1:53*3 2=10.0.0.2:54",
            "numgen inc mod 4 map { 0-1 : 0x00000001, 2 : 0x00000002, 3 : 0x00000001 }",
        ),
        (
            LeastConnections,
            "1=10.0.0.1:53 2=10.0.0.2:53",
            "numgen inc mod 2 map { 0 : 0x00000001, 1 : 0x00000002 }",
        ),
        (RoundRobin, "1=10.0.0.1:53*0 2=10.0.0.2:53", "0x00000002"),
        (RoundRobin, "1=10.0.0.1:53! 2=10.0.0.2:53", "0x00000002"),
        (RoundRobin, "1=10.0.0.1:53- 2=10.0.0.2:53", "0x00000002"),
        (RoundRobin, "1=10.0.0.1:53 2=10.0.0.2:53~", "0x00000001"),
        (RoundRobin, "1=10.0.0.1:53! 2=10.0.0.2:53~", "0x00000002"),
        (RoundRobin, "1=[fd00::1]:53 2=10.0.0.2:53", "0x00000002"),
        (RoundRobin, "1=10.0.0.1:53*0", ""),
        (RoundRobin, "1=[fd00::1]:53", ""),
        (SourceIp, "", ""),
        (SourceIp, "1=10.0.0.1:53*0 2=10.0.0.2:53!", ""),
    ] {
        let (mut spec, down) = spec(members);
        spec.pools[0].algorithm = algorithm;
        let rules = rules(&spec, &down, boot());
        let chosen = match expected {
            "" => String::new(),
            expected => format!("meta mark set {expected}\ngoto members-a-ip\n"),
        };
        let expected = format!("ct timeout set \"udp-ip\"\nmeta mark set 0\n{chosen}");
        assert_eq!(chain(&rules, &name("listener", "ip")), expected, "{algorithm} {members}");
    }
    for (algorithm, expected) in [
        (SourceIp, "meta mark set jhash ip6 saddr mod 4096 seed 0x6f637461 map { 0-"),
        (
            Algorithm::SourceIpPort,
            "meta mark set jhash ip6 saddr . th sport mod 4096 seed 0x6f637461 map { 0-",
        ),
    ] {
        let (mut spec, down) = spec("1=[fd00::1]:53*200 2=[fd00::2]:53 3=10.0.0.3:53");
        spec.pools[0].algorithm = algorithm;
        let told = chain(&rules(&spec, &down, boot()), &name("listener", "ip6"));
        assert!(
            told.contains(expected) && told.contains(": 0x00000002") && !told.contains("0x00000003"),
            "{told}"
        );
    }
}

#[test]
fn whoever_may_have_flows_is_a_member() {
    let (spec, down) = spec("1=10.0.0.1:5300*0 2=10.0.0.2:53! 3=10.0.0.3:53- 4=10.0.0.4:53~ 5=[fd00::5]:53");
    let rules = rules(&spec, &down, boot());
    let expected = "meta mark != { 0x00000001, 0x00000004 } return\nct mark set meta mark\n\
         counter name \"new-a-12345678\"\n\
         meta l4proto udp dnat ip to meta mark map { 0x00000001 : 10.0.0.1 . 5300, 0x00000004 : 10.0.0.4 . 53 }\n";
    assert_eq!(chain(&rules, &name("members", "ip")), expected);
    let v6 = chain(&rules, &name("members", "ip6"));
    assert!(v6.ends_with("dnat ip6 to meta mark map { 0x00000005 : fd00::5 . 53 }\n"), "{v6}");
}

#[test]
fn who_is_let_in() {
    for (allowed, v4, v6) in [
        (&[][..], "", ""),
        (&["192.0.2.0/24"], "ip saddr != { 192.0.2.0/24 } drop\n", "drop\n"),
        (
            &["192.0.2.0/24", "192.0.2.128/25", "2001:db8::/32"],
            "ip saddr != { 192.0.2.0/24 } drop\n",
            "ip6 saddr != { 2001:db8::/32 } drop\n",
        ),
        (&["0.0.0.0/0"], "", "drop\n"),
        (&["0.0.0.0/0", "::/0", "fd00::/8"], "", ""),
        (&["10.0.0.9/8", "11.0.0.0/8"], "ip saddr != { 10.0.0.0/7 } drop\n", "drop\n"),
    ] {
        let (mut spec, down) = spec("1=10.0.0.1:53");
        spec.listeners[0].allowed_cidrs = allowed.iter().map(|net| net.parse().unwrap()).collect();
        let rules = rules(&spec, &down, boot());
        for (family, expected) in [("ip", v4), ("ip6", v6)] {
            let told = chain(&rules, &name("listener", family));
            let first = told.split_once("ct timeout").unwrap().0;
            assert_eq!(first, expected, "{allowed:?}");
        }
    }
}

#[test]
fn how_clients_are_remembered() {
    for (granularity, key, map) in [
        (None, "ip saddr", "stick-b-ip-60-ffffffff"),
        (Some("255.255.0.0"), "ip saddr & 255.255.0.0", "stick-b-ip-60-ffff0000"),
        (Some("255.255.255.255"), "ip saddr", "stick-b-ip-60-ffffffff"),
        (Some("ffff::"), "ip saddr", "stick-b-ip-60-ffffffff"),
    ] {
        let (mut spec, down) = spec("1=10.0.0.1:53");
        let granularity = granularity.map(|mask| mask.parse().unwrap());
        spec.pools[0].persistence = Some(PersistenceSpec::SourceIp { granularity, timeout: 60 });
        let rules = rules(&spec, &down, boot());
        let expected = format!(
            "ct timeout set \"udp-ip\"\nmeta mark set 0\nmeta mark set {key} map @{map}\n\
             meta mark != 0 update @{map} {{ {key} : meta mark }}\njump members-a-ip\n\
             delete @{map} {{ {key} : meta mark }}\nmeta mark set 0x00000001\n\
             update @{map} {{ {key} : meta mark }}\ngoto members-a-ip\n"
        );
        assert_eq!(chain(&rules, &name("listener", "ip")), expected, "{granularity:?}");
        let declared: Vec<_> = rules.objects.iter().filter(|(of, _)| of.kind == Kind::Map).collect();
        assert_eq!(declared.len(), 2);
        assert_eq!(declared[0].1, "type ipv4_addr : mark; size 65536; flags dynamic,timeout; timeout 60s;");
    }
    // Of one that is drained alone, clients that are known still come back.
    let (mut spec, down) = spec("1=10.0.0.1:53*0");
    spec.pools[0].persistence = Some(PersistenceSpec::SourceIp { granularity: None, timeout: 60 });
    let told = chain(&rules(&spec, &down, boot()), &name("listener", "ip"));
    assert!(told.ends_with("jump members-a-ip\n"), "{told}");
}

fn both() -> (AmphoraSpec, BTreeSet<MemberId>) {
    let (mut spec, down) = spec("1=10.0.0.1:53*3 2=10.0.0.2:5300 3=[fd00::3]:53 4=10.0.0.4:53!");
    let mut sctp = spec.pools[0].clone();
    (sctp.id, sctp.protocol) = (id(0xd), PoolProtocol::Sctp);
    for (member, number) in sctp.members.iter_mut().zip(5..) {
        member.id = id(number);
    }
    sctp.algorithm = Algorithm::SourceIpPort;
    let granularity = Some("ffff:ffff::".parse().unwrap());
    sctp.persistence = Some(PersistenceSpec::SourceIp { granularity, timeout: 0 });
    let mut other = listener(0xc, ListenerProtocol::Sctp, 80, Some(sctp.id));
    other.connection_limit = Some(1000);
    other.allowed_cidrs = ["192.0.2.0/24", "::/0"].map(|net| net.parse().unwrap()).to_vec();
    spec.listeners.push(other);
    spec.listeners.push(listener(0xe, ListenerProtocol::Udp, 80, None));
    spec.listeners.push(listener(0xf, ListenerProtocol::Http, 80, None));
    spec.pools.push(sctp);
    (spec, down)
}

#[test]
fn the_frame() {
    let (spec, down) = both();
    let rules = rules(&spec, &down, boot());
    let hooks = ["unknown", "own", "arriving", "left", "forward", "known", "leaving", "told"];
    let told: String = hooks.iter().map(|name| format!("{name}:\n{}", chain(&rules, name))).collect();
    insta::assert_snapshot!(told);
    assert_eq!(super::rules::rules(&AmphoraSpec { network: None, ..spec }, &down, boot()), Rules::default());
}

#[test]
fn only_what_differs_is_touched() {
    let (spec, down) = both();
    let wanted = rules(&spec, &down, boot());
    let there = names(&wanted);
    assert_eq!(script(&there, Some(&wanted), &wanted), "");
    let change = |edit: &dyn Fn(&mut AmphoraSpec)| {
        let mut changed = spec.clone();
        edit(&mut changed);
        short(&script(&there, Some(&wanted), &rules(&changed, &down, boot())))
    };
    let heads = |script: &str| -> Vec<String> {
        let head = |line: &str| line.split(' ').take(5).collect::<Vec<_>>().join(" ");
        let heads = script.lines().filter(|line| !line.starts_with("add rule")).map(head);
        heads.map(|head| head.replace(" inet octavia", "")).collect()
    };
    let weight = change(&|spec| spec.pools[0].members[0].weight = 2);
    assert_eq!(heads(&weight), ["add table", "add chain listener-a-ip", "flush chain listener-a-ip"]);
    let port = change(&|spec| spec.listeners[0].port = 54);
    let frame = ["arriving", "known", "left"];
    let expected = frame.map(|name| [format!("add chain {name}"), format!("flush chain {name}")]).concat();
    assert_eq!(heads(&port)[1..], expected);
    let timeout = change(&|spec| {
        spec.pools[1].persistence = Some(PersistenceSpec::SourceIp { granularity: None, timeout: 9 });
    });
    let told = heads(&timeout);
    for line in
        ["add map stick-d-ip-9-ffffffff", "delete map stick-d-ip-0-ffffffff", "flush chain listener-c-ip6"]
    {
        assert!(told.contains(&line.to_owned()), "{line}: {told:?}");
    }
    let gone = change(&|spec| drop(spec.listeners.remove(2)));
    let told = heads(&gone);
    let place =
        |line: &str| told.iter().position(|told| told == line).unwrap_or_else(|| panic!("{line}: {told:?}"));
    assert!(place("flush chain listener-e-ip") < place("delete chain listener-e-ip"));
    place("delete counter in-e-12345678");
    // Another boot counts anew.
    let other = short(&script(&there, Some(&wanted), &rules(&spec, &down, uuid(1 << 96))));
    assert!(heads(&other).contains(&"add counter new-a-00000001".to_owned()));
    // What is not known is made anew, but for what has a state.
    let unknown = script(&there, None, &wanted);
    for word in ["add counter", "add map", "add set", "delete"] {
        assert!(!unknown.lines().any(|line| line.starts_with(word)), "{word}: {unknown}");
    }
    assert_eq!(unknown.matches("flush chain").count(), wanted.chains.len());
    let empty = Rules::default();
    assert_eq!(script(&there, Some(&wanted), &empty), "add table inet octavia\ndelete table inet octavia\n");
    for known in [None, Some(&empty)] {
        assert_eq!(script(&BTreeSet::new(), known, &empty), "");
    }
}

#[test]
fn which_flows_go_on() {
    let (mut spec, down) = both();
    spec.pools[0].members[0].weight = 0;
    let places = Places::of(&spec, &down);
    let flow = |protocol, client: &str, vip: &str, member: &str, mark| {
        let flow = Flow {
            protocol,
            client: client.parse().unwrap(),
            vip: vip.parse().unwrap(),
            member: member.parse().unwrap(),
            mark,
            tuple: &[],
        };
        places.judge(&flow)
    };
    let (udp, sctp) = (Fate::GoesOn(id(0xa)), Fate::GoesOn(id(0xc)));
    for (protocol, client, vip, member, mark, expected) in [
        (17, "198.51.100.1", "192.0.2.1:53", "10.0.0.1:53", 1, udp),
        (17, "2001:db8::9", "[2001:db8::1]:53", "[fd00::3]:53", 3, udp),
        (17, "198.51.100.1", "192.0.2.1:53", "10.0.0.2:53", 2, Fate::Ends),
        (17, "198.51.100.1", "192.0.2.1:53", "10.0.0.4:53", 4, Fate::Ends),
        (17, "198.51.100.1", "192.0.2.1:53", "10.0.0.1:53", 9, Fate::Ends),
        (17, "198.51.100.1", "192.0.2.2:53", "10.0.0.1:53", 1, Fate::Ends),
        (17, "198.51.100.1", "192.0.2.1:54", "10.0.0.1:53", 1, Fate::Ends),
        (17, "198.51.100.1", "192.0.2.1:80", "10.0.0.1:53", 1, Fate::Ends),
        (132, "192.0.2.9", "192.0.2.1:80", "10.0.0.1:53", 5, sctp),
        (132, "198.51.100.1", "192.0.2.1:80", "10.0.0.1:53", 5, Fate::Ends),
        (132, "192.0.2.9", "192.0.2.1:53", "10.0.0.1:53", 1, Fate::Ends),
    ] {
        assert_eq!(
            flow(protocol, client, vip, member, mark),
            expected,
            "{protocol} {client} {vip} {member} {mark}"
        );
    }
}

#[test]
fn what_is_told_of_listeners() {
    let (mut spec, _) = both();
    spec.listeners[1].connection_limit = Some(4);
    let counted = BTreeMap::from([
        (format!("in-{}-12345678", uuid(0xa)), (100, 2)),
        (format!("out-{}-12345678", uuid(0xa)), (300, 3)),
        (format!("new-{}-12345678", uuid(0xa)), (60, 1)),
        (format!("new-{}-00000000", uuid(0xc)), (60, 1)),
    ]);
    let reports = reports(&spec, boot(), &counted, &BTreeMap::from([(id(0xa), 5), (id(0xc), 4)]));
    let told = |number| {
        let report: &ListenerReport = &reports[&id(number)];
        let stats = report.stats;
        (report.status, [stats.rx, stats.tx, stats.conns, stats.totconns, stats.ereq])
    };
    use octavia_wire::ListenerWord::{Full, Open};
    assert_eq!(told(0xa), (Open, [100, 300, 5, 1, 0]));
    assert_eq!(told(0xc), (Full, [0, 0, 4, 0, 0]));
    assert_eq!(told(0xe), (Open, [0; 5]));
    assert_eq!(reports.len(), 3);
}

/// The kernel takes all of it, also in the place of something else, and tells the names back.
#[tokio::test]
async fn the_kernel_takes_it() {
    let name = format!("oaf{}", std::process::id());
    let ip =
        |words: &str| std::process::Command::new("ip").args(words.split(' ')).status().unwrap().success();
    if !ip(&format!("netns add {name}")) {
        eprintln!("skipped: no network namespace can be made");
        return;
    }
    let namespace = Namespace::open(&std::path::PathBuf::from("/run/netns").join(&name)).unwrap();
    // It lives on in its descriptor.
    assert!(ip(&format!("netns del {name}")));
    let mut forwarding = Forwarding::open(&namespace).unwrap();
    let (empty, _) = spec("");
    let no_listeners = AmphoraSpec { listeners: vec![], ..empty.clone() };
    assert!(!forwarding.follow(&no_listeners, &BTreeSet::new(), boot()).await);
    assert!(!forwarding.concerns(&no_listeners));
    let mut large = both();
    for number in 100..400 {
        large.0.pools[1]
            .members
            .push(member(&format!("{number}=10.0.{}.{}:53", number / 100, number % 100)).0);
    }
    let mut states = vec![both(), (empty, BTreeSet::new()), large, both()];
    states[3].0.pools[1].persistence = Some(PersistenceSpec::SourceIp { granularity: None, timeout: 60 });
    states[3].0.listeners.remove(2);
    for (spec, down) in &states {
        assert_eq!(spec.validate(), Ok(()));
        forwarding.follow(spec, down, boot()).await;
        assert_eq!(forwarding.fault, None);
        let there = listed(&nft::list(&namespace).await.unwrap());
        assert_eq!(there, names(&rules(spec, down, boot())));
        assert_eq!(forwarding.reports(spec, down, boot()).len(), spec.forwarded().count());
        // Another agent finds it all there.
        let mut next = Forwarding::open(&namespace).unwrap();
        assert!(!next.follow(spec, down, boot()).await && next.fault.is_none());
        forwarding.made = None;
    }
    forwarding.withdraw().await;
    assert_eq!(nft::list(&namespace).await.unwrap(), "");
}
