//! L7 policies: what a listener does with a request before its default pool gets it (`reference/amphora.md` §10).
//!
//! A pure core: [`decide`] looks at a request's head and says which policy takes it. Rules see what the member will
//! see: the target in origin form, the host of an absolute target, no header that two readers could read differently.
//! What a rule looks at, and how it is compared, is as with HAProxy; the tests ask it. Two things differ: an absolute
//! target without a path has the path `/`, and of `Connection` every option is seen. Patterns are those of
//! [`octavia_model::L7Regex`].

mod redirect;
mod rule;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use octavia_model::{L7PolicyId, PoolId};
use octavia_wire::{L7ActionSpec, L7Fault, L7POLICIES_MAX, L7PolicySpec, SpecError};

pub use self::redirect::Redirect;
use self::rule::Rule;
use crate::http1::Request;
use crate::snapshot::Route;
use crate::tls::Seen;

/// An action for the requests that match all its rules.
#[derive(Debug)]
pub struct Policy {
    pub id: L7PolicyId,
    pub action: Action,
    rules: Box<[Rule]>,
}

#[derive(Debug)]
pub enum Action {
    /// 403.
    Reject,
    Redirect(Redirect),
    Pool(Route),
}

/// The place in `policies` of the first that takes the request; `None` = the default pool does.
/// `seen` is what there is to say of the connection's TLS; `None` = it has none.
pub fn decide(policies: &[Policy], request: &Request<'_, '_>, seen: Option<&Seen<'_>>) -> Option<u16> {
    policies.iter().position(|policy| policy.takes(request, seen)).map(|place| place as u16)
}

const _: () = assert!(L7POLICIES_MAX <= u16::MAX as usize);

impl Policy {
    /// Compiles a policy whose pool is one that `routes` lead to.
    pub fn compile(spec: &L7PolicySpec, routes: &HashMap<PoolId, Route>) -> Result<Self, SpecError> {
        let faulty = |fault| SpecError::L7Policy { policy: spec.id, fault };
        let action = match &spec.action {
            L7ActionSpec::Reject => Action::Reject,
            L7ActionSpec::RedirectToUrl { location, code } => Action::Redirect(Redirect::to(location, *code)),
            L7ActionSpec::RedirectPrefix { prefix, code } => {
                Action::Redirect(Redirect::with_target(prefix, *code))
            }
            L7ActionSpec::RedirectToPool(id) => {
                let route = routes.get(id).ok_or_else(|| faulty(L7Fault::UnknownPool(*id)))?;
                Action::Pool(route.clone())
            }
        };
        let rules = spec.rules.iter().map(Rule::compile).collect::<Result<_, _>>().map_err(faulty)?;
        Ok(Self { id: spec.id, action, rules })
    }

    /// Whether each rule holds.
    pub(crate) fn rules(
        &self,
        request: &Request<'_, '_>,
        seen: Option<&Seen<'_>>,
    ) -> impl Iterator<Item = bool> {
        self.rules.iter().map(move |rule| rule.holds(request, seen))
    }

    fn takes(&self, request: &Request<'_, '_>, seen: Option<&Seen<'_>>) -> bool {
        !self.rules.is_empty() && self.rules.iter().all(|rule| rule.holds(request, seen))
    }
}
