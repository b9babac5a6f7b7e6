//! What every implementation of the traits must do, as checks that panic where one does not.
//!
//! The planner relies on exactly this; an implementation that passes, in whichever crate, may be put under it, and a
//! simulated cloud that passes is worth simulating with.

use std::time::Duration;

use jiff::SignedDuration;
use octavia_model::{
    AmphoraId, Blame, LoadBalancerId, NetworkId, PortId, ProjectId, Retry, SecurityGroupId, SubnetId,
};

pub use crate::material::TlsMaterial;
use crate::{
    BootFile, CertIssuer, CloudError, Compute, Consumer, Identity, IdentityError, IpFamily, Network,
    Placement, PortRequest, PortRole, PortSubnet, Reader, RequestContext, Right, RuleProtocol, SecretError,
    SecretRef, Secrets, SecurityRule, Server, ServerRequest, ServerState, VipRequest,
};

/// How long a server may take to be up.
const UP_WITHIN: Duration = Duration::from_secs(20);

/// Servers: ensured twice is made once, found by our id, deleted though absent.
pub async fn compute_suite(compute: &dyn Compute) {
    let request = server_request();
    let id = request.amphora_id;
    assert_eq!(compute.server_find(id).await, Ok(None), "what was never made is surely not there");
    assert_eq!(compute.server_delete(id).await, Ok(()), "deleting what is absent is fine");

    let made = compute.server_ensure(&request).await.expect("a server is made");
    assert_eq!(made.amphora_id, id);
    assert!(!made.compute_id.is_empty());
    let up = server_up(compute, id).await;
    assert_eq!(up.compute_id, made.compute_id);
    assert!(up.agent.is_some(), "a running server's address is known");

    let (again, at_once) = tokio::join!(compute.server_ensure(&request), compute.server_ensure(&request));
    assert_eq!(again.as_ref(), Ok(&up), "ensured twice is made once");
    assert_eq!(at_once.as_ref(), Ok(&up), "ensured at the same time is made once");
    assert_eq!(listed(compute, id).await, 1);

    let other = server_request();
    let (one, two) = tokio::join!(compute.server_ensure(&other), compute.server_ensure(&other));
    let (one, two) = (one.expect("made"), two.expect("made"));
    assert_eq!(one.compute_id, two.compute_id, "two who ensure at the same time get one server");
    let other_up = server_up(compute, other.amphora_id).await;
    assert_ne!(other_up.agent, up.agent, "two servers have two addresses");
    assert_ne!(other_up.compute_id, up.compute_id);

    let (first, second) = tokio::join!(compute.server_delete(id), compute.server_delete(id));
    assert_eq!((first, second), (Ok(()), Ok(())), "deleted twice is deleted");
    assert_eq!(compute.server_find(id).await, Ok(None), "what was deleted is surely not there");
    assert_eq!(listed(compute, id).await, 0);
    assert_eq!(listed(compute, other.amphora_id).await, 1, "nothing else was deleted");

    compute.server_ensure(&request).await.expect("what was deleted can be made again");
    server_up(compute, id).await;
    for id in [id, other.amphora_id] {
        assert_eq!(compute.server_delete(id).await, Ok(()));
        assert_eq!(listed(compute, id).await, 0);
    }
}

/// A request as the controller makes them.
pub fn server_request() -> ServerRequest {
    ServerRequest {
        amphora_id: AmphoraId::new_v4(),
        load_balancer_id: Some(LoadBalancerId::new_v4()),
        files: vec![BootFile { name: "boot.json".into(), content: b"{}".to_vec() }],
        placement: Placement::default(),
    }
}

/// The server once it runs.
pub async fn server_up(compute: &dyn Compute, id: AmphoraId) -> Server {
    let wait = async {
        loop {
            match compute.server_find(id).await.expect("it can be asked") {
                Some(server) if server.state == ServerState::Running => return server,
                Some(server) => assert_eq!(server.state, ServerState::Building, "it comes up"),
                None => panic!("a server that was made is not found"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(UP_WITHIN, wait).await.expect("the server is up in time")
}

async fn listed(compute: &dyn Compute, id: AmphoraId) -> usize {
    let servers = compute.server_list().await.expect("servers can be listed");
    servers.iter().filter(|server| server.amphora_id == id).count()
}

/// VIPs on a subnet that has free addresses: taken once for each load balancer, refused to a second one, given back.
pub async fn network_suite(network: &dyn Network, network_id: NetworkId, subnet_id: SubnetId) {
    let request = || VipRequest {
        load_balancer_id: LoadBalancerId::new_v4(),
        project_id: ProjectId::new("5c1b5cfa1f3a4dbf9cd0f8b0a0a5b5b5"),
        network_id,
        subnet_id,
        address: None,
        port_id: None,
        additional: vec![],
    };
    let subnet = network.subnet_get(subnet_id).await.expect("it can be asked").expect("the subnet is there");
    assert_eq!((subnet.id, subnet.network_id), (subnet_id, network_id));
    let info = network.network_get(network_id).await.expect("it can be asked").expect("the network is there");
    assert!(info.id == network_id && info.subnets.contains(&subnet_id));
    assert_eq!(network.subnet_get(SubnetId::new_v4()).await, Ok(None));
    assert_eq!(network.network_get(NetworkId::new_v4()).await, Ok(None));
    assert_eq!(network.port_get(PortId::new_v4()).await, Ok(None));
    assert_eq!(network.security_group_exists(SecurityGroupId::new_v4()).await, Ok(false));

    let first = request();
    let (vip, at_once) = tokio::join!(network.vip_ensure(&first), network.vip_ensure(&first));
    let vip = vip.expect("an address is free");
    assert_eq!(at_once.as_ref(), Ok(&vip), "ensured at the same time is taken once");
    assert_eq!(network.vip_ensure(&first).await.as_ref(), Ok(&vip), "ensured twice is taken once");
    assert!(vip.owned && subnet.cidr.contains(&vip.address));
    assert_eq!((vip.network_id, vip.subnet_id), (network_id, subnet_id));
    let port = network.port_get(vip.port_id).await.expect("it can be asked").expect("the VIP has a port");
    assert!(port.fixed_ips.contains(&(subnet_id, vip.address)));
    assert!(!port.device_id.is_empty(), "the port is bound");
    assert_eq!(vips(network, first.load_balancer_id).await, 1);

    let second = request();
    let other = network.vip_ensure(&second).await.expect("another address is free");
    assert!(other.address != vip.address && other.port_id != vip.port_id);

    let refused = [
        ("a taken address", VipRequest { address: Some(vip.address), ..request() }),
        ("an address elsewhere", VipRequest { address: Some([192, 0, 2, 1].into()), ..request() }),
        ("a bound port", VipRequest { port_id: Some(vip.port_id), ..request() }),
        ("no port at all", VipRequest { port_id: Some(PortId::new_v4()), ..request() }),
        ("no subnet at all", VipRequest { subnet_id: SubnetId::new_v4(), ..request() }),
    ];
    for (what, request) in refused {
        let error = network.vip_ensure(&request).await.expect_err(what);
        assert_eq!(network.vip_check(&request).await.as_ref(), Err(&error), "{what}: as it is asked before");
        assert_caller(&error, what);
        assert_eq!(vips(network, request.load_balancer_id).await, 0, "{what} leaves nothing");
    }

    assert_eq!(network.vip_release(first.load_balancer_id).await, Ok(()));
    assert_eq!(network.vip_release(first.load_balancer_id).await, Ok(()), "released twice is released");
    assert_eq!(network.port_get(vip.port_id).await, Ok(None), "our port went with it");
    assert_eq!(vips(network, first.load_balancer_id).await, 0);
    assert_eq!(network.vip_ensure(&second).await, Ok(other), "nobody else's address was touched");

    let wanted = VipRequest { address: Some(vip.address), ..request() };
    let got = network.vip_ensure(&wanted).await.expect("a released address can be asked for");
    assert_eq!(got.address, vip.address);
    for load_balancer in [wanted.load_balancer_id, second.load_balancer_id] {
        assert_eq!(network.vip_release(load_balancer).await, Ok(()));
    }
    let after = network.subnet_get(subnet_id).await.expect("it can be asked").expect("the subnet is there");
    assert_eq!(after.free, subnet.free, "every address is free again");
}

/// VIPs with an address on each of two subnets of a network.
pub async fn additional_vips_suite(network: &dyn Network, network_id: NetworkId, subnets: [SubnetId; 2]) {
    let [first, second] = subnets;
    let before = network.subnet_get(second).await.expect("it can be asked").expect("it is there").free;
    let alone = VipRequest {
        load_balancer_id: LoadBalancerId::new_v4(),
        project_id: ProjectId::new("5c1b5cfa1f3a4dbf9cd0f8b0a0a5b5b5"),
        network_id,
        subnet_id: first,
        address: None,
        port_id: None,
        additional: vec![],
    };
    let with =
        |address| VipRequest { additional: vec![PortSubnet { subnet_id: second, address }], ..alone.clone() };
    let vip = network.vip_ensure(&with(None)).await.expect("addresses are free");
    assert_eq!(network.vip_ensure(&with(None)).await.as_ref(), Ok(&vip), "ensured twice is taken once");
    let (subnet, address) = vip.additional[0];
    assert_eq!((vip.subnet_id, subnet, vip.additional.len()), (first, second, 1));
    assert_eq!(network.vip_ensure(&with(Some(address))).await.as_ref(), Ok(&vip));
    let port = network.port_get(vip.port_id).await.expect("it can be asked").expect("the VIP has a port");
    assert_eq!(port.fixed_ips, [(first, vip.address), (second, address)]);
    let thief = VipRequest { load_balancer_id: LoadBalancerId::new_v4(), ..with(Some(address)) };
    assert_caller(&network.vip_ensure(&thief).await.expect_err("taken"), "a taken address");
    assert_eq!(vips(network, thief.load_balancer_id).await, 0, "it leaves nothing");
    let twice = VipRequest { subnet_id: second, load_balancer_id: LoadBalancerId::new_v4(), ..with(None) };
    assert_caller(&network.vip_ensure(&twice).await.expect_err("twice"), "two addresses of a subnet");

    // Made before there were others.
    assert_eq!(network.vip_release(alone.load_balancer_id).await, Ok(()));
    let vip = network.vip_ensure(&alone).await.expect("an address is free");
    let wider = network.vip_ensure(&with(None)).await.expect("addresses are free");
    assert_eq!((wider.port_id, wider.address), (vip.port_id, vip.address), "the VIP stays");
    assert_eq!(network.vip_release(alone.load_balancer_id).await, Ok(()));
    let after = network.subnet_get(second).await.expect("it can be asked").expect("it is there").free;
    assert_eq!(after, before, "every address is free again");
}

async fn vips(network: &dyn Network, load_balancer: LoadBalancerId) -> usize {
    let held = network.vip_list().await.expect("VIPs can be listed");
    held.iter().filter(|held| **held == load_balancer).count()
}

/// Ports of servers: ensured twice are made once and changed in place, attached and detached as often as one likes, and
/// gone with their addresses. `subnets` = two of the network, with free addresses.
pub async fn ports_suite(
    compute: &dyn Compute,
    network: &dyn Network,
    network_id: NetworkId,
    subnets: [SubnetId; 2],
) {
    assert!(compute.has_ports());
    let free = async || {
        let mut free = vec![];
        for subnet in subnets {
            free.push(network.subnet_get(subnet).await.expect("it can be asked").expect("it is there").free);
        }
        free
    };
    let before = free().await;
    let server = server_request();
    let amphora = server.amphora_id;
    let load_balancer = server.load_balancer_id.expect("the server is one's");
    compute.server_ensure(&server).await.expect("a server is made");
    assert_eq!(server_up(compute, amphora).await.ports, []);
    let of = |subnets: &[SubnetId]| PortRequest {
        amphora_id: amphora,
        load_balancer_id: load_balancer,
        network_id,
        role: PortRole::Vip,
        subnets: subnets.iter().map(|subnet| PortSubnet { subnet_id: *subnet, address: None }).collect(),
        allowed: vec![],
        qos_policy_id: None,
    };
    assert_eq!(network.port_find(amphora, network_id).await, Ok(None));
    let request = of(&subnets[..1]);
    let (port, at_once) = tokio::join!(network.port_ensure(&request), network.port_ensure(&request));
    let port = port.expect("a port is made");
    assert_eq!(at_once.as_ref(), Ok(&port), "ensured at the same time is made once");
    assert_eq!(network.port_ensure(&request).await.as_ref(), Ok(&port), "ensured twice is made once");
    assert_eq!(network.port_find(amphora, network_id).await, Ok(Some(port.clone())), "found by our ids");
    assert_eq!(network.port_list(Some(amphora)).await, Ok(vec![port.clone()]));
    assert!(network.port_list(None).await.expect("it can be asked").contains(&port));
    assert_eq!((port.fixed_ips.len(), port.fixed_ips[0].subnet_id), (1, subnets[0]));
    let bound = network.port_get(port.id).await.expect("it can be asked").expect("it is a port as others");
    assert!(!bound.device_id.is_empty());

    assert_eq!(compute.port_detach(amphora, port.id).await, Ok(()), "detaching what is not attached is fine");
    for _ in 0..2 {
        assert_eq!(compute.port_attach(amphora, &port).await, Ok(()), "twice is once");
        assert_eq!(server_up(compute, amphora).await.ports, [port.id]);
    }
    assert_eq!(compute.server_ensure(&server).await.expect("it is there").ports, [port.id]);

    let wider = PortRequest { allowed: vec!["192.0.2.1".parse().expect("an address")], ..of(&subnets) };
    let wider = network.port_ensure(&wider).await.expect("a port is changed");
    assert_eq!((wider.id, &wider.mac), (port.id, &port.mac), "changed in place");
    assert_eq!(wider.fixed_ips[0], port.fixed_ips[0], "what stays, stays as it is");
    assert_eq!((wider.fixed_ips.len(), wider.allowed.len()), (2, 1));
    assert_eq!(network.port_ensure(&request).await.as_ref(), Ok(&port), "and back");

    let taken = PortRequest {
        amphora_id: AmphoraId::new_v4(),
        subnets: vec![PortSubnet { subnet_id: subnets[0], address: Some(port.fixed_ips[0].address) }],
        ..request.clone()
    };
    let refused = [
        ("a taken address", taken),
        ("no address", PortRequest { amphora_id: AmphoraId::new_v4(), subnets: vec![], ..request.clone() }),
        ("no subnet at all", PortRequest { amphora_id: AmphoraId::new_v4(), ..of(&[SubnetId::new_v4()]) }),
    ];
    for (what, request) in refused {
        assert_caller(&network.port_ensure(&request).await.expect_err(what), what);
        assert_eq!(network.port_list(Some(request.amphora_id)).await, Ok(vec![]), "{what} leaves nothing");
    }

    let rules = [SecurityRule::any(IpFamily::V4, RuleProtocol::Tcp, 80)];
    let group = network.security_group_ensure(load_balancer, &rules).await.expect("a group is made");
    for rules in [&rules[..], &[]] {
        assert_eq!(network.security_group_ensure(load_balancer, rules).await, Ok(group), "twice is once");
    }
    assert!(network.security_group_list().await.expect("it can be asked").contains(&load_balancer));
    for _ in 0..2 {
        assert_eq!(network.security_group_delete(load_balancer).await, Ok(()), "absent is fine");
    }
    assert!(!network.security_group_list().await.expect("it can be asked").contains(&load_balancer));

    for _ in 0..2 {
        assert_eq!(compute.port_detach(amphora, port.id).await, Ok(()));
        assert_eq!(server_up(compute, amphora).await.ports, []);
    }
    assert_eq!(compute.port_attach(amphora, &port).await, Ok(()), "what was detached can be attached again");
    for _ in 0..2 {
        assert_eq!(network.port_delete(port.id).await, Ok(()), "deleted though attached, and twice");
    }
    assert_eq!(server_up(compute, amphora).await.ports, []);
    assert_eq!(network.port_list(Some(amphora)).await, Ok(vec![]));

    let port = network.port_ensure(&request).await.expect("a port is made");
    assert_eq!(compute.port_attach(amphora, &port).await, Ok(()));
    assert_eq!(compute.server_delete(amphora).await, Ok(()));
    assert_eq!(network.port_find(amphora, network_id).await, Ok(Some(port.clone())), "ports outlive servers");
    assert_eq!(compute.port_detach(amphora, port.id).await, Ok(()), "no such server is fine");
    let attached = compute.port_attach(amphora, &port).await;
    assert!(attached.is_err(), "there is no server");
    assert_eq!(network.port_delete(port.id).await, Ok(()));
    assert_eq!(free().await, before, "every address is free again");
}

/// Tokens: `token` is `holder`'s; anything like it is nobody's.
pub async fn identity_suite(identity: &dyn Identity, token: &str, holder: &RequestContext) {
    assert!(!identity.auth_uri().is_empty());
    for _ in 0..2 {
        assert_eq!(identity.verify(token).await.as_ref(), Ok(holder));
    }
    let (head, tail) = token.split_at(token.len() / 2);
    let hostile = [
        String::new(),
        " ".into(),
        format!("{token} "),
        format!(" {token}"),
        format!("{token}{token}"),
        format!("{tail}{head}"),
        head.to_owned(),
        token.to_ascii_uppercase(),
        "admin".into(),
        "ö\u{0}\u{fffd}".into(),
        "A".repeat(100_000),
    ];
    for bad in hostile {
        assert_eq!(identity.verify(&bad).await, Err(IdentityError::InvalidToken), "{bad:.40}");
    }
}

/// Certificates: each with a key of its own, for host names only. That TLS stacks accept them is for a test that has one.
pub async fn cert_suite(issuer: &dyn CertIssuer) {
    let day = SignedDuration::from_hours(24);
    let one = issuer.issue("octavia-controller", day).await.expect("a certificate is issued");
    let two = issuer.issue("octavia-controller", day).await.expect("a certificate is issued");
    assert_ne!(one.key, two.key, "no key is given twice");
    assert!(one.chain.starts_with("-----BEGIN CERTIFICATE-----") && one.key.contains("PRIVATE KEY"));
    let trust = issuer.trust();
    assert!(trust.bundle().starts_with("-----BEGIN CERTIFICATE-----"));
    assert_eq!(one.authority, trust.issuing.name);
    let each = issuer.issue_each("octavia-controller", day).await.expect("certificates are issued");
    let of: Vec<_> = each.iter().map(|cert| cert.authority.as_str()).collect();
    assert_eq!(of, trust.authorities().map(|authority| authority.name.as_str()).collect::<Vec<_>>());
    let long = "x".repeat(65);
    for name in ["", "two words", "a\nb", "*", "ö", long.as_str()] {
        assert_caller(&issuer.issue(name, day).await.expect_err(name), name);
    }
    assert_caller(&issuer.issue("a", SignedDuration::ZERO).await.expect_err("no lifetime"), "no lifetime");
}

/// References to what was stored of a [`TlsMaterial`] before the suite runs.
#[derive(Debug, Clone)]
pub struct StoredSecrets {
    /// A secret with [`TlsMaterial::everything`].
    pub everything: String,
    /// A certificate container of certificate, key and authority (as intermediates).
    pub container: String,
    /// A certificate container whose key is another's.
    pub mismatched: String,
    /// A container of type generic.
    pub generic: String,
    pub authority: String,
    pub crl: String,
    /// A secret without a payload.
    pub hollow: String,
    /// A secret that the reader may not read, and whose right it lacks.
    pub forbidden: (String, String),
}

/// Secrets: the same bundle from either form, each reason by its name, consumers noted once.
pub async fn secrets_suite(secrets: &dyn Secrets, stored: &StoredSecrets, reader: Reader<'_>) {
    let whole = secrets.bundle_fetch(&stored.everything, reader).await.expect("a bundle in one secret");
    let parts = secrets.bundle_fetch(&stored.container, reader).await.expect("a bundle in a container");
    assert_eq!(whole, parts, "both forms say the same");
    assert_eq!((whole.chain().len(), whole.names()), (2, ["www.example.test".to_owned()].as_slice()));
    let authority = secrets.ca_fetch(&stored.authority, reader).await.expect("an authority");
    let lists = secrets.crl_fetch(&stored.crl, reader).await.expect("a list");
    assert_eq!(lists.check_signed_by(&authority), Ok(()));

    let nowhere = |what: &str| format!("http://cloud.example/v1/{what}/00000000-0000-4000-8000-000000000000");
    let (forbidden, user) = &stored.forbidden;
    let refused = [
        ("no reference", "certificate.pem".to_owned(), "no reference"),
        ("no secret", nowhere("secrets"), "no secret 00000000-0000-4000-8000-000000000000"),
        ("no container", nowhere("containers"), "no container 00000000"),
        ("another's key", stored.mismatched.clone(), "does not belong to the certificate"),
        ("another type", stored.generic.clone(), "one of type certificate is expected"),
        ("no bundle", stored.authority.clone(), "no private key"),
        ("no payload", stored.hollow.clone(), "no payload"),
        ("no right", forbidden.clone(), "openstack acl user add --user"),
    ];
    for (what, reference, words) in refused {
        let error = secrets.bundle_fetch(&reference, reader).await.expect_err(what);
        assert_eq!(error.blame(), Blame::Caller, "{what}: {error}");
        assert!(error.to_string().contains(words), "{what}: {error}");
        if let SecretError::Forbidden(lacking) = &error {
            let right = Right { user: user.clone(), reference: forbidden.clone() };
            assert_eq!(lacking.rights, [right]);
        }
    }
    assert_eq!(secrets.ca_fetch(&stored.container, reader).await, Err(SecretError::NoSecret));
    assert!(secrets.crl_fetch(&stored.authority, reader).await.is_err(), "an authority is no list");

    let consumer = Consumer { resource: "listeners", id: uuid::Uuid::new_v4() };
    for reference in [&stored.everything, &stored.container] {
        let reference = SecretRef::parse(reference).expect("a reference");
        for _ in 0..2 {
            assert_eq!(secrets.consumer_register(&reference, consumer).await, Ok(()), "twice is once");
        }
        for _ in 0..2 {
            assert_eq!(secrets.consumer_unregister(&reference, consumer).await, Ok(()), "absent is fine");
        }
    }
    let gone = SecretRef::parse(&nowhere("secrets")).expect("a reference");
    assert_eq!(secrets.consumer_unregister(&gone, consumer).await, Ok(()), "absent is fine");
    assert_eq!(secrets.consumer_register(&gone, consumer).await, Err(SecretError::not_found(&gone)));
}

/// The user's mistake: no retry helps.
fn assert_caller(error: &CloudError, what: &str) {
    assert_eq!((error.blame, error.retry), (Blame::Caller, Retry::Never), "{what}: {error}");
}
