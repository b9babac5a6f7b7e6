//! Fetching what references point at, for the rules to judge.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use octavia_cloud::Reader;
use octavia_model::{Listener, ListenerProtocol, Pool};

use crate::body::Sent;
use crate::call::Call;
use crate::fault::Fault;
use crate::request::listener::ListenerBody;
use crate::request::pool::PoolBody;
use crate::rules::secrets::Found;

/// References of one request at most.
const REFERENCES_MAX: usize = 128;
/// For all of a request's references together.
const FETCH_TIME: Duration = Duration::from_secs(60);

/// A caller's token, for who else knows the caller by it. `Debug` hides it.
#[derive(Clone)]
pub(crate) struct Token(pub(crate) String);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

/// Whether the service is let read what a request names, which changes the lists of a key manager elsewhere: only when it
/// is known that nothing else speaks against the request.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    wanted: AtomicBool,
    given: bool,
}

impl Admission {
    pub(crate) const fn given() -> Self {
        Self { wanted: AtomicBool::new(false), given: true }
    }

    const fn is_given(&self) -> bool {
        self.given
    }

    fn want(&self) {
        self.wanted.store(true, Ordering::Relaxed);
    }

    /// Whether the request was refused for want of it alone.
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted.load(Ordering::Relaxed)
    }
}

/// References to fetch, each once.
#[derive(Debug, Default)]
pub(crate) struct Wanted {
    bundles: BTreeSet<String>,
    authorities: BTreeSet<String>,
    lists: BTreeSet<String>,
}

impl Wanted {
    /// Those of a body; `stored` is the listener it changes. A listener that does not terminate TLS is refused without.
    pub(crate) fn listener(&mut self, body: &ListenerBody, stored: Option<&Listener>) {
        let protocol = stored.map(|listener| listener.protocol).or(body.protocol.value());
        if !matches!(protocol, Some(ListenerProtocol::TerminatedHttps | ListenerProtocol::Prometheus)) {
            return;
        }
        self.bundles.extend(body.default_tls_container_ref.get().cloned());
        self.bundles.extend(body.sni_container_refs.get().into_iter().flatten().cloned());
        self.pair(
            (&body.client_ca_tls_container_ref, &body.client_crl_container_ref),
            stored
                .map(|listener| (&listener.client_ca_tls_container_ref, &listener.client_crl_container_ref)),
        );
    }

    pub(crate) fn pool(&mut self, body: &PoolBody, stored: Option<&Pool>) {
        self.bundles.extend(body.tls_container_ref.get().cloned());
        self.pair(
            (&body.ca_tls_container_ref, &body.crl_container_ref),
            stored.map(|pool| (&pool.ca_tls_container_ref, &pool.crl_container_ref)),
        );
    }

    /// When either is sent, both are looked at: a list must be its authority's own.
    fn pair(
        &mut self,
        (authority, list): (&Sent<String>, &Sent<String>),
        stored: Option<(&Option<String>, &Option<String>)>,
    ) {
        if authority.get().is_none() && list.get().is_none() {
            return;
        }
        let (old_authority, old_list) = stored.map(|(a, l)| (a.clone(), l.clone())).unwrap_or_default();
        self.authorities.extend(authority.merged(old_authority));
        self.lists.extend(list.merged(old_list));
    }

    /// Reads them with the caller's rights. Where the service lacks a right that the caller may be able to give,
    /// [`Admission`] decides what becomes of the request.
    pub(crate) async fn fetch(self, call: &Call) -> Result<Arc<Found>, Fault> {
        let count = self.bundles.len() + self.authorities.len() + self.lists.len();
        if count > REFERENCES_MAX {
            return Err(Fault::validation(format!(
                "A request names at most {REFERENCES_MAX} certificate references; this one names {count}."
            )));
        }
        let found = tokio::time::timeout(FETCH_TIME, self.read(call)).await.map_err(|_| {
            Fault::Unavailable("The key manager did not answer in time; try again later.".to_owned())
        })?;
        if found.lacks_admission() {
            call.admission.want();
            return Err(Fault::Unavailable("The service may not read a certificate yet.".to_owned()));
        }
        Ok(Arc::new(found))
    }

    async fn read(self, call: &Call) -> Found {
        let secrets = call.state.secrets.as_ref();
        let token = call.token.as_ref().map(|token| token.0.as_str());
        let reader = match call.admission.is_given() {
            _ if call.state.store.rehearses() => Reader::Rehearsal(&call.caller, token),
            true => Reader::Admitting(&call.caller, token),
            false => Reader::Caller(&call.caller, token),
        };
        let mut found = Found::default();
        for reference in self.bundles {
            let outcome = secrets.bundle_fetch(&reference, reader).await.map(drop);
            found.bundles.insert(reference, outcome);
        }
        for reference in self.authorities {
            let outcome = secrets.ca_fetch(&reference, reader).await;
            found.authorities.insert(reference, outcome);
        }
        for reference in self.lists {
            let outcome = secrets.crl_fetch(&reference, reader).await;
            found.lists.insert(reference, outcome);
        }
        found
    }
}
