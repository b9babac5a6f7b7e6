//! How listeners that terminate TLS, and pools that speak it with their members, reach the data plane.

use octavia_model::{
    Cipher, ClientAuthentication, L7PolicyAction, Listener, ListenerProtocol, LoadBalancerGraph, Pool,
    ProvisioningStatus, ReasonCode, TlsVersion,
};
use octavia_plan::{Identities, SpecOptions, compile, encrypting, terminating};
use octavia_wire::{
    CertificateSpec, Der, IdentitySpec, InsertHeader, KeySpec, PoolIdentitySpec, PoolTlsSpec, TlsFault,
    TlsSpec,
};

use crate::fixture::{amphora_id, graph, listener, listener_id, policy, pool, pool_id, rule};

/// Listener 1 terminates TLS, listener 2 does not.
fn tree() -> LoadBalancerGraph {
    let mut graph = graph();
    graph.listeners = vec![listener(1, 443), listener(2, 80)];
    graph.listeners[0].protocol = ListenerProtocol::TerminatedHttps;
    graph
}

fn identity() -> IdentitySpec {
    let certificate = CertificateSpec {
        chain: vec![Der(vec![1])],
        key: KeySpec::new(&[2]),
        names: vec!["a.example".to_owned()],
        staple: None,
    };
    IdentitySpec { certificates: vec![certificate], client_authorities: vec![], client_revocations: vec![] }
}

fn compiled(
    change: impl FnOnce(&mut Listener),
    found: Option<Result<IdentitySpec, TlsFault>>,
) -> (TlsSpec, Vec<InsertHeader>) {
    let mut graph = tree();
    change(&mut graph.listeners[0]);
    let listeners = found.map(|found| (listener_id(1), found)).into_iter().collect();
    let identities = Identities { listeners, ..Identities::new() };
    let spec = compile(&graph, amphora_id(1), 7, &identities, &SpecOptions::default());
    assert_eq!(spec.validate(), Ok(()));
    assert!(spec.listeners[1].tls.is_none());
    (spec.listeners[0].tls.clone().unwrap(), spec.listeners[0].insert_headers.clone())
}

#[test]
fn what_is_stored_is_offered_as_far_as_it_is_spoken() {
    let (tls, _) = compiled(|_| (), Some(Ok(identity())));
    assert_eq!((&tls.identity, &tls.fault), (&Some(identity()), &None));
    assert_eq!((&tls.versions[..], &tls.ciphers[..]), (TlsVersion::ALL, Cipher::ALL));
    assert_eq!((tls.alpn.len(), tls.hsts, tls.client_authentication), (0, None, ClientAuthentication::None));
    let words = |words: &[&str]| Some(words.iter().map(|&word| word.to_owned()).collect());
    let (tls, _) = compiled(
        |l| {
            l.tls.versions = words(&["TLSv1.3", "TLSv1.1"]);
            l.tls.ciphers = Some("TLS_AES_256_GCM_SHA384:AES128-SHA".to_owned());
            l.tls.alpn_protocols = words(&["h2", "http/1.0", "http/1.1"].repeat(9));
            l.client_authentication = ClientAuthentication::Optional;
        },
        Some(Ok(identity())),
    );
    assert_eq!(
        (&tls.versions[..], &tls.ciphers[..]),
        (&[TlsVersion::Tls13][..], &[Cipher::Aes256GcmSha384][..])
    );
    assert_eq!(
        (&tls.alpn[..], tls.client_authentication),
        (
            &["h2".to_owned(), "http/1.0".to_owned(), "http/1.1".to_owned()][..],
            ClientAuthentication::Optional
        )
    );
    // Nobody to believe: closed, whatever its amphora has.
    assert!(!tls.is_ready() && tls.identity.is_some());
    assert!(tls.fault.unwrap().text.contains("no authority to check them by"));
    let ask = |l: &mut Listener| l.client_authentication = ClientAuthentication::Mandatory;
    let believing = IdentitySpec { client_authorities: vec![Der(vec![3])], ..identity() };
    let (tls, _) = compiled(ask, Some(Ok(believing)));
    assert_eq!((tls.is_ready(), tls.fault), (true, None));
    // Rows that another API has written.
    for (versions, ciphers) in [(words(&["TLSv1"]), None), (None, Some("AES128-SHA".to_owned()))] {
        let change = |l: &mut Listener| (l.tls.versions, l.tls.ciphers) = (versions, ciphers);
        let (tls, _) = compiled(change, Some(Ok(identity())));
        assert_eq!((tls.identity, tls.fault.unwrap().code), (None, ReasonCode::ConfigurationRefused));
    }
}

#[test]
fn what_could_not_be_had_is_told() {
    let fault = TlsFault { code: ReasonCode::SecretUnreadable, text: "t".to_owned(), advice: "a".to_owned() };
    let (tls, _) = compiled(|_| (), Some(Err(fault.clone())));
    assert_eq!((tls.identity, tls.fault), (None, Some(fault)));
    // Nobody has looked.
    let (tls, _) = compiled(|_| (), None);
    assert_eq!((tls.identity, tls.fault), (None, None));
}

#[test]
fn hsts() {
    for (max_age, subdomains, preload, value) in [
        (None, true, true, None),
        (Some(0), false, false, Some("max-age=0;")),
        (Some(9), true, false, Some("max-age=9; includeSubDomains;")),
        (Some(9), false, true, Some("max-age=9; preload;")),
        (Some(u32::MAX), true, true, Some("max-age=4294967295; includeSubDomains; preload;")),
    ] {
        let change = |l: &mut Listener| {
            (l.hsts_max_age, l.hsts_include_subdomains, l.hsts_preload) = (max_age, subdomains, preload);
        };
        assert_eq!(compiled(change, None).0.hsts.as_deref(), value);
    }
}

#[test]
fn headers_of_the_client_certificate() {
    let asked = |l: &mut Listener| {
        for name in ["X-SSL-Client-CN", "X-SSL-Issuer", "X-Forwarded-Proto"] {
            l.insert_headers.insert(name.to_owned(), "true".to_owned());
        }
    };
    let told = [InsertHeader::XForwardedProto, InsertHeader::XSslClientCn, InsertHeader::XSslIssuer];
    assert_eq!(compiled(asked, None).1, told);
    let mut graph = tree();
    asked(&mut graph.listeners[1]);
    let spec = compile(&graph, amphora_id(1), 7, &Identities::new(), &SpecOptions::default());
    assert_eq!(spec.listeners[1].insert_headers, told[..1], "in clear there is none");
}

#[test]
fn whose_secrets_are_needed() {
    let needed = |change: &dyn Fn(&mut LoadBalancerGraph)| {
        let mut graph = tree();
        change(&mut graph);
        terminating(&graph).map(|listener| listener.id).collect::<Vec<_>>()
    };
    assert_eq!(needed(&|_| ()), [listener_id(1)]);
    assert_eq!(needed(&|g| g.listeners[0].admin_state_up = false), []);
    assert_eq!(needed(&|g| g.load_balancer.admin_state_up = false), []);
}

/// Pool 1 speaks TLS with its members and is listener 1's default; pool 2 does not.
fn encrypted() -> LoadBalancerGraph {
    let mut graph = graph();
    graph.listeners = vec![listener(1, 80), listener(2, 81)];
    graph.pools = vec![pool(1), pool(2)];
    graph.pools[0].tls_enabled = true;
    for (listener, pool) in graph.listeners.iter_mut().zip([1, 2]) {
        listener.default_pool_id = Some(pool_id(pool));
    }
    graph
}

fn pool_compiled(
    change: impl FnOnce(&mut Pool),
    found: Option<Result<PoolIdentitySpec, TlsFault>>,
) -> PoolTlsSpec {
    let mut graph = encrypted();
    change(&mut graph.pools[0]);
    let pools = found.map(|found| (pool_id(1), found)).into_iter().collect();
    let spec = compile(
        &graph,
        amphora_id(1),
        7,
        &Identities { pools, ..Identities::new() },
        &SpecOptions::default(),
    );
    assert!(spec.pools[1].tls.is_none());
    let tls = spec.pools[0].tls.clone().unwrap();
    let version = if tls.alpn.contains(&"h2".to_owned()) { 3 } else { 2 };
    assert_eq!((spec.version, spec.validate()), (version, Ok(())));
    tls
}

#[test]
fn pools_offer_what_is_stored_as_far_as_it_is_spoken() {
    let identity = PoolIdentitySpec { authorities: vec![Der(vec![1])], ..PoolIdentitySpec::default() };
    let tls = pool_compiled(|_| (), Some(Ok(identity.clone())));
    assert_eq!((&tls.identity, tls.verify, &tls.fault), (&Some(identity.clone()), false, &None));
    assert_eq!((&tls.versions[..], &tls.ciphers[..], tls.alpn.len()), (TlsVersion::ALL, Cipher::ALL, 0));
    let words = |words: &[&str]| Some(words.iter().map(|&word| word.to_owned()).collect());
    let tls = pool_compiled(
        |pool| {
            pool.ca_tls_container_ref = Some("http://keys/v1/secrets/1".to_owned());
            pool.tls.versions = words(&["TLSv1.2"]);
            pool.tls.ciphers = Some("ECDHE+CHACHA20".to_owned());
            pool.tls.alpn_protocols = words(&["h2", "spdy/3", "http/1.1"]);
        },
        Some(Ok(identity)),
    );
    assert!(tls.verify);
    assert_eq!(tls.versions, [TlsVersion::Tls12]);
    assert_eq!(tls.ciphers, [Cipher::EcdheEcdsaChacha20, Cipher::EcdheRsaChacha20]);
    assert_eq!(tls.alpn, ["h2", "http/1.1"], "what is not spoken is not offered");
    // Rows that another API has written; and what could not be had.
    let tls =
        pool_compiled(|pool| pool.tls.versions = words(&["TLSv1"]), Some(Ok(PoolIdentitySpec::default())));
    let fault = tls.fault.unwrap();
    assert_eq!((tls.identity, fault.code), (None, ReasonCode::ConfigurationRefused));
    assert!(fault.text.contains("the pool names"), "{}", fault.text);
    let fault = TlsFault { code: ReasonCode::SecretUnreadable, text: "t".to_owned(), advice: "a".to_owned() };
    let tls = pool_compiled(|_| (), Some(Err(fault.clone())));
    assert_eq!((tls.identity, tls.fault), (None, Some(fault)));
}

#[test]
fn a_spec_in_clear_is_for_older_agents_too() {
    let mut graph = encrypted();
    graph.pools[0].tls_enabled = false;
    graph.pools[0].ca_tls_container_ref = Some("http://keys/v1/secrets/1".to_owned());
    let spec = compile(&graph, amphora_id(1), 7, &Identities::new(), &SpecOptions::default());
    assert_eq!((spec.version, &spec.pools[0].tls), (1, &None));
}

#[test]
fn whose_members_are_spoken_to_in_secret() {
    let needed = |change: &dyn Fn(&mut LoadBalancerGraph)| {
        let mut graph = encrypted();
        change(&mut graph);
        encrypting(&graph).map(|pool| pool.id).collect::<Vec<_>>()
    };
    assert_eq!(needed(&|_| ()), [pool_id(1)]);
    assert_eq!(needed(&|g| g.pools[1].tls_enabled = true), [pool_id(1), pool_id(2)]);
    assert_eq!(needed(&|g| g.pools[0].admin_state_up = false), []);
    assert_eq!(needed(&|g| g.pools[0].statuses.provisioning = ProvisioningStatus::PendingDelete), []);
    assert_eq!(needed(&|g| g.listeners[0].admin_state_up = false), []);
    assert_eq!(needed(&|g| g.load_balancer.admin_state_up = false), []);
    assert_eq!(needed(&|g| g.listeners[0].default_pool_id = None), []);
    let by_policy = |g: &mut LoadBalancerGraph| {
        g.listeners[0].default_pool_id = None;
        let mut policy = policy(1, 2, L7PolicyAction::RedirectToPool);
        policy.redirect_pool_id = Some(pool_id(1));
        g.l7rules = vec![rule(1, &policy, "/a")];
        g.l7policies = vec![policy];
    };
    assert_eq!(needed(&by_policy), [pool_id(1)]);
}
