//! Lists, as a table: a query, and what it answers.

use octavia_model::*;
use octavia_store::{Direction, ListError, ListQuery, Resource, SortKey, Store, TagFilter};

use crate::databases::on_all;
use crate::lease::acquire;
use crate::sample;

fn strings(words: &str) -> Vec<String> {
    words.split_whitespace().map(str::to_owned).collect()
}

/// `key=value key=value`; a value is everything up to the next blank, `~` stands for a blank.
fn filters(text: &str) -> Vec<(String, Vec<String>)> {
    let pair = |word: &str| {
        let (key, value) = word.split_once('=').unwrap();
        (key.to_owned(), vec![value.replace('~', " ")])
    };
    text.split_whitespace().map(pair).collect()
}

/// `name -created_at`: minus is descending.
fn sorted(text: &str) -> Vec<SortKey> {
    let key = |word: &str| match word.strip_prefix('-') {
        Some(key) => SortKey { key: key.to_owned(), direction: Direction::Descending },
        None => SortKey { key: word.to_owned(), direction: Direction::Ascending },
    };
    text.split_whitespace().map(key).collect()
}

fn query() -> ListQuery {
    ListQuery::default()
}

async fn names(store: &Store, query: &ListQuery) -> String {
    let page = store.lb_list(query).await.unwrap();
    page.items.into_iter().map(|item| item.load_balancer.name).collect::<Vec<_>>().join(" ")
}

/// Five load balancers, `a` to `e` in order of creation, and one that is deleted.
async fn five(store: &Store) -> Vec<LoadBalancerGraph> {
    let group: SecurityGroupId = "5e5e5e5e-0000-4000-8000-000000000001".parse().unwrap();
    let mut stored = vec![];
    for (name, project, zone, tags) in [
        ("a", "one", Some("z2"), "x y"),
        ("b", "one", None, "x"),
        ("c", "two", Some("z1"), "y"),
        ("d", "two", None, ""),
        ("e", "two", Some("z2"), "x y z"),
    ] {
        let mut lb = sample::load_balancer(project, name);
        lb.availability_zone = zone.map(str::to_owned);
        lb.tags = strings(tags);
        lb.admin_state_up = name != "c";
        if name == "b" {
            lb.vip.sg_ids = vec![group];
            lb.description = "50%_of".to_owned();
        }
        stored.push(sample::create(store, &LoadBalancerGraph::new(lb)).await);
    }
    let gone = store.lb_create(&sample::small()).await.unwrap().load_balancer.id;
    store.lb_deleted(&acquire(store, gone).await).await.unwrap();
    stored
}

#[tokio::test]
async fn filters_and_tags() {
    on_all(|store| async move {
        let stored = five(&store).await;
        let a = &stored[0].load_balancer;
        let (id, second) = (a.id, a.created_at.strftime("%Y-%m-%dT%H:%M:%S").to_string());
        let id_filter = format!("id={id}");
        let subnet_filter = format!("vip_subnet_id={}", a.vip.subnet_id);
        let upper = format!("id={}", id.to_string().to_uppercase());
        for (filter, expected) in [
            ("", "a b c d e"),
            ("name=b", "b"),
            ("name=B", ""),
            ("name=b~", ""),
            ("name=%", ""),
            ("description=50%_of", "b"),
            ("name=b project_id=one", "b"),
            ("name=b project_id=two", ""),
            ("project_id=two", "c d e"),
            ("availability_zone=z2", "a e"),
            ("admin_state_up=TRUE", "a b d e"),
            ("admin_state_up=whatever", "c"),
            ("provisioning_status=PENDING_CREATE", "a b c d e"),
            ("provisioning_status=DELETED", ""),
            ("vip_address=127.100.64.7", "a b c d e"),
            ("vip_sg_ids=5e5e5e5e-0000-4000-8000-000000000001", "b"),
            ("vip_sg_ids=5e5e5e5e-0000-4000-8000-000000000002", ""),
            ("created_at=tomorrow", ""),
            ("created_at=2001-01-01T00:00:00", ""),
            (&id_filter, "a"),
            (&upper, ""),
            (&subnet_filter, "a"),
            ("name=a\0", ""),
            ("name=\u{1F980}'\"\\", ""),
        ] {
            let query = ListQuery { filters: filters(filter), ..query() };
            assert_eq!(names(&store, &query).await, expected, "{filter}");
        }
        let created = ListQuery { filters: filters(&format!("created_at={second}")), ..query() };
        assert!(names(&store, &created).await.starts_with('a'));

        let project = |project: &str| Some(ProjectId::new(project));
        let query_one = ListQuery { project: project("one"), ..query() };
        assert_eq!(names(&store, &query_one).await, "a b");

        for (tags, any, not, not_any, expected) in [
            ("x", "", "", "", "a b e"),
            ("x y", "", "", "", "a e"),
            ("x y q", "", "", "", ""),
            ("", "y z", "", "", "a c e"),
            ("", "", "x y", "", "b c d"),
            ("", "", "", "x y", "d"),
            ("x", "y", "z", "", "a"),
            ("X", "", "", "", ""),
            ("x\0", "", "", "", ""),
        ] {
            let [tags, tags_any, not_tags, not_tags_any] = [tags, any, not, not_any].map(strings);
            let tags = TagFilter { tags, tags_any, not_tags, not_tags_any };
            let query = ListQuery { tags, ..query() };
            assert_eq!(names(&store, &query).await, expected, "{query:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn order_and_pages() {
    on_all(|store| async move {
        let stored = five(&store).await;
        let marker = |name: &str| {
            let lb = stored.iter().map(|graph| &graph.load_balancer).find(|lb| lb.name == name);
            lb.map(|lb| lb.id.to_string())
        };
        for (sort, last, limit, reverse, expected) in [
            ("", "", None, false, "a b c d e"),
            ("", "", Some(2), false, "a b"),
            ("", "b", Some(2), false, "c d"),
            ("", "e", Some(2), false, ""),
            ("", "", Some(0), false, ""),
            // From the start of the list, not the page just before.
            ("", "d", Some(2), true, "a b"),
            ("", "a", Some(2), true, ""),
            ("-name", "", None, false, "e d c b a"),
            ("-name", "d", Some(2), false, "c b"),
            ("-name", "b", None, true, "e d c"),
            // Null is less than anything, ties are in order of creation.
            ("availability_zone", "", None, false, "b d c a e"),
            ("availability_zone", "b", None, false, "d c a e"),
            ("availability_zone", "d", None, false, "c a e"),
            ("availability_zone", "a", None, false, "e"),
            ("availability_zone", "c", None, true, "b d"),
            ("availability_zone", "d", None, true, "b"),
            ("-availability_zone", "", None, false, "a e c b d"),
            ("-availability_zone", "e", None, false, "c b d"),
            ("-availability_zone", "c", None, false, "b d"),
            ("-availability_zone", "b", None, false, "d"),
            ("-availability_zone", "b", None, true, "a e c"),
            ("-availability_zone -name", "", None, false, "e a c d b"),
            ("-availability_zone -name", "a", None, false, "c d b"),
            ("admin_state_up -created_at", "", None, false, "c e d b a"),
            ("admin_state_up -created_at", "d", None, false, "b a"),
        ] {
            let query = ListQuery {
                sort: sorted(sort),
                marker: marker(last),
                limit,
                page_reverse: reverse,
                ..query()
            };
            let answer = names(&store, &query).await;
            assert_eq!(answer, expected, "{query:?}");
        }
        // The marker need not match the filters.
        let query = ListQuery { filters: filters("project_id=two"), marker: marker("b"), ..query() };
        assert_eq!(names(&store, &query).await, "c d e");
    })
    .await;
}

/// Walking by pages of any size meets every row once, in the order of the whole list, for every key.
#[tokio::test]
async fn pages_make_up_the_list() {
    on_all(|store| async move {
        five(&store).await;
        for key in Resource::LoadBalancer.sort_keys() {
            for minus in ["", "-"] {
                let sort = sorted(&format!("{minus}{key}"));
                let whole = names(&store, &ListQuery { sort: sort.clone(), ..query() }).await;
                for size in 1..=3 {
                    let mut walked = vec![];
                    let mut marker = None;
                    loop {
                        let page = ListQuery { sort: sort.clone(), limit: Some(size), marker, ..query() };
                        let page = store.lb_list(&page).await.unwrap();
                        let Some(last) = page.items.last() else { break };
                        marker = Some(last.load_balancer.id.to_string());
                        walked.extend(page.items.iter().map(|item| item.load_balancer.name.clone()));
                        assert!(walked.len() <= 5, "{key}: {walked:?}");
                    }
                    assert_eq!(walked.join(" "), whole, "{minus}{key} by {size}");
                }
            }
        }
    })
    .await;
}

#[tokio::test]
async fn wrong_questions() {
    on_all(|store| async move {
        let twice = vec![("name".to_owned(), strings("a b"))];
        let again = filters("name=a name=b");
        let none = || Some(LoadBalancerId::new_v4().to_string());
        for (query, expected) in [
            (ListQuery { filters: filters("colour=red"), ..query() }, "UnknownKey(\"colour\")"),
            (ListQuery { filters: filters("tenant_id=x"), ..query() }, "UnknownKey(\"tenant_id\")"),
            (ListQuery { filters: filters("listeners=x"), ..query() }, "UnknownKey(\"listeners\")"),
            (ListQuery { filters: twice, ..query() }, "RepeatedKey(\"name\")"),
            (ListQuery { filters: again, ..query() }, "RepeatedKey(\"name\")"),
            (ListQuery { sort: sorted("colour"), ..query() }, "UnknownSortKey(\"colour\")"),
            (ListQuery { sort: sorted("vip_sg_ids"), ..query() }, "UnknownSortKey(\"vip_sg_ids\")"),
            (ListQuery { marker: Some("x\0".to_owned()), ..query() }, "UnknownMarker(\"x\\0\")"),
            (ListQuery { marker: none(), ..query() }, "UnknownMarker"),
        ] {
            let error = store.lb_list(&query).await.unwrap_err();
            assert!(format!("{error:?}").starts_with(expected), "{error:?}, not {expected}");
        }
        let filters = filters("health_monitor_id=x");
        let error = store.pool_list(&ListQuery { filters, ..query() }).await.unwrap_err();
        assert!(matches!(error, ListError::UnknownKey(_)));
    })
    .await;
}

/// Every key of every resource filters and sorts, on rows that hold something in every column.
#[tokio::test]
async fn every_key_works_and_relations_are_shown() {
    on_all(|store| async move {
        let graph = sample::create(&store, &sample::maximal()).await;
        let lb = graph.load_balancer.id;
        let other = store.lb_create(&sample::small()).await.unwrap();
        let lease = acquire(&store, lb).await;
        let amphora = sample::amphora(lb);
        store.amphora_insert(&lease, &amphora).await.unwrap();
        let (pool, policy) = (graph.pools[0].id, graph.l7policies[0].id);
        for resource in [
            Resource::LoadBalancer,
            Resource::Listener,
            Resource::Pool,
            Resource::Member,
            Resource::HealthMonitor,
            Resource::L7Policy,
            Resource::L7Rule,
            Resource::Amphora,
            Resource::Quota,
            Resource::Flavor,
            Resource::FlavorProfile,
            Resource::AvailabilityZone,
            Resource::AvailabilityZoneProfile,
        ] {
            let filter =
                resource.keys().map(|key| ListQuery { filters: filters(&format!("{key}=7")), ..query() });
            let sort =
                resource.sort_keys().map(|key| ListQuery { sort: sorted(&format!("-{key}")), ..query() });
            for query in filter.chain(sort) {
                let listed = match resource {
                    Resource::LoadBalancer => store.lb_list(&query).await.map(|page| page.items.len()),
                    Resource::Listener => store.listener_list(&query).await.map(|page| page.items.len()),
                    Resource::Pool => store.pool_list(&query).await.map(|page| page.items.len()),
                    Resource::Member => store.member_list(pool, &query).await.map(|page| page.items.len()),
                    Resource::HealthMonitor => {
                        store.health_monitor_list(&query).await.map(|page| page.items.len())
                    }
                    Resource::L7Policy => store.l7policy_list(&query).await.map(|page| page.items.len()),
                    Resource::L7Rule => store.l7rule_list(policy, &query).await.map(|page| page.items.len()),
                    Resource::Amphora => store.amphora_list(&query).await.map(|page| page.items.len()),
                    Resource::Quota => store.quota_list(&query).await.map(|page| page.items.len()),
                    Resource::Flavor => store.flavor_list(&query).await.map(|page| page.items.len()),
                    Resource::FlavorProfile => {
                        store.flavor_profile_list(&query).await.map(|page| page.items.len())
                    }
                    Resource::AvailabilityZone => {
                        store.availability_zone_list(&query).await.map(|page| page.items.len())
                    }
                    Resource::AvailabilityZoneProfile => {
                        store.availability_zone_profile_list(&query).await.map(|page| page.items.len())
                    }
                };
                listed.unwrap_or_else(|error| panic!("{resource:?} {query:?}: {error}"));
            }
        }

        let load_balancers = store.lb_list(&query()).await.unwrap().items;
        assert_eq!(load_balancers[0].load_balancer, graph.load_balancer);
        assert_eq!(load_balancers[0].listeners, [graph.listeners[0].id]);
        assert_eq!(load_balancers[1].pools, [other.pools[0].id]);
        let listeners = store.listener_list(&query()).await.unwrap().items;
        assert_eq!(
            (&listeners[0].listener, &listeners[0].l7policies[..]),
            (&graph.listeners[0], &[policy][..])
        );
        let pools = store.pool_list(&query()).await.unwrap().items;
        assert_eq!(pools[0].pool, graph.pools[0]);
        assert_eq!(pools[0].listeners, [graph.listeners[0].id]);
        let policies = store.l7policy_list(&query()).await.unwrap().items;
        assert_eq!(policies[0].l7policy, graph.l7policies[0]);
        assert_eq!(policies[0].rules, graph.l7rules.iter().map(|rule| rule.id).collect::<Vec<_>>());
        assert_eq!(store.l7rule_list(policy, &query()).await.unwrap().items, graph.l7rules);
        let named = store.l7rule_list(policy, &ListQuery { filters: filters("name=x"), ..query() }).await;
        assert!(matches!(named, Err(ListError::UnknownKey(_))), "rules have no name: {named:?}");
        assert_eq!(pools[0].members, graph.members.iter().map(|m| m.id).collect::<Vec<_>>());
        assert_eq!(pools[0].health_monitor, Some(graph.health_monitors[0].id));
        assert_eq!(pools.len(), 2);
        assert_eq!(store.member_list(pool, &query()).await.unwrap().items, graph.members);
        assert!(store.member_list(PoolId::new_v4(), &query()).await.unwrap().items.is_empty());
        let monitors = store.health_monitor_list(&query()).await.unwrap().items;
        assert_eq!(monitors[0], graph.health_monitors[0]);
        let amphorae = store.amphora_list(&query()).await.unwrap().items;
        assert_eq!(amphorae.iter().map(|a| a.id).collect::<Vec<_>>(), [amphora.id]);

        let count = |filter: &'static str| {
            let (store, query) = (store.clone(), ListQuery { filters: filters(filter), ..query() });
            async move {
                let monitors = store.health_monitor_list(&query).await.map(|page| page.items.len());
                let pools = store.pool_list(&query).await.map(|page| page.items.len());
                let amphorae = store.amphora_list(&query).await.map(|page| page.items.len());
                (monitors.ok(), pools.ok(), amphorae.ok())
            }
        };
        assert_eq!(count("http_version=1.1").await, (Some(1), None, None));
        assert_eq!(count("http_version=1.0").await, (Some(0), None, None));
        assert_eq!(count("max_retries=10").await, (Some(1), None, None));
        assert_eq!(count("max_retries=ten").await, (Some(0), None, None));
        assert_eq!(count("project_id=project").await, (Some(2), Some(2), Some(1)));
        assert_eq!(count("project_id=other").await, (Some(0), Some(0), Some(0)));
        assert_eq!(count("lb_algorithm=SOURCE_IP_PORT").await, (None, Some(1), None));
        let by_monitor = format!("healthmonitor_id={}", graph.health_monitors[0].id);
        let by_monitor = ListQuery { filters: filters(&by_monitor), ..query() };
        assert_eq!(store.pool_list(&by_monitor).await.unwrap().items.len(), 1);
        let tagged = TagFilter { tags: vec!["a, \"c\"".to_owned()], ..Default::default() };
        let tagged = ListQuery { tags: tagged, ..query() };
        assert_eq!(store.member_list(pool, &tagged).await.unwrap().items.len(), 1);
        assert_eq!(store.listener_list(&tagged).await.unwrap().items.len(), 1);
        assert_eq!(store.l7policy_list(&tagged).await.unwrap().items.len(), 1);
        assert_eq!(store.l7rule_list(policy, &tagged).await.unwrap().items.len(), 1);
        assert_eq!(store.listener_parent(graph.listeners[0].id).await.unwrap(), Some(lb));
        assert_eq!(store.pool_parent(pool).await.unwrap(), Some(lb));
        assert_eq!(store.member_parent(graph.members[0].id).await.unwrap(), Some(lb));
        assert_eq!(store.health_monitor_parent(graph.health_monitors[0].id).await.unwrap(), Some(lb));
        assert_eq!(store.l7policy_parent(policy).await.unwrap(), Some(lb));
    })
    .await;
}

/// Zones have no id and no time: their names order them and mark pages.
#[tokio::test]
async fn zones_are_paged_by_name() {
    on_all(|store| async move {
        for name in ["c", "a", "B", "ä", "b/ 1"] {
            let (profile, zone) = sample::availability_zone(name);
            store.availability_zone_profile_insert(&profile).await.unwrap();
            store.availability_zone_insert(&zone).await.unwrap();
        }
        for (filter, sort, last, expected) in [
            ("", "", None, "B a b/ 1 c ä"),
            ("", "-name", None, "ä c b/ 1 a B"),
            ("", "-enabled", None, "B a b/ 1 c ä"),
            ("", "", Some("b/ 1"), "c ä"),
            ("", "-name", Some("b/ 1"), "a B"),
            ("", "description", Some("a"), "b/ 1 c ä"),
            ("name=b/~1", "", None, "b/ 1"),
            ("enabled=yes", "", None, ""),
        ] {
            let query = ListQuery {
                filters: filters(filter),
                sort: sorted(sort),
                marker: last.map(str::to_owned),
                ..query()
            };
            let page = store.availability_zone_list(&query).await.unwrap();
            let names: Vec<_> = page.items.into_iter().map(|zone| zone.name).collect();
            assert_eq!(names.join(" "), expected, "{query:?}");
        }
        for query in [
            ListQuery { filters: filters("id=x"), ..query() },
            ListQuery { project: Some(ProjectId::new("p")), ..query() },
            ListQuery { tags: TagFilter { not_tags: strings("x"), ..Default::default() }, ..query() },
            ListQuery { sort: sorted("created_at"), ..query() },
            ListQuery { marker: Some("d".to_owned()), ..query() },
        ] {
            store.availability_zone_list(&query).await.unwrap_err();
        }
    })
    .await;
}
