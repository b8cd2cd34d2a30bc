//! The connections that a report lists one by one, held against what their clients saw.

use crate::client::{End, Seen};
use crate::facts::Facts;
use serde_json::Value;
use std::net::SocketAddr;

impl Facts {
    /// The details whose peer is outside the pod.
    pub fn details(&self) -> Vec<Value> {
        let all = self.at("/connections/details").as_array().cloned().unwrap_or_default();
        all.into_iter().filter(|one| one["internal"] != true).collect()
    }

    /// The detail of the connection with this peer; `null` if it is not listed exactly once.
    pub fn detail(&self, peer: Option<SocketAddr>) -> Value {
        let Some(peer) = peer.map(|peer| peer.to_string()) else { return Value::Null };
        let mut listed = self.details().into_iter().filter(|one| one["peer"] == *peer);
        listed.next().filter(|_| listed.next().is_none()).unwrap_or_default()
    }

    /// A field of the detail of the connection with this peer.
    pub fn detail_is(&mut self, peer: Option<SocketAddr>, field: &str, expected: impl Into<Value>) {
        let (expected, found) = (expected.into(), self.detail(peer)[field].clone());
        let peer = peer.map(|peer| peer.to_string()).unwrap_or_default();
        self.holds(found == expected, &format!("{field} of {peer} = {expected}"), &format!("it is {found}"));
    }

    /// These clients, and no other peers, are listed, each as it saw its own end.
    pub fn details_are<'a>(&mut self, clients: impl IntoIterator<Item = &'a Seen>) {
        let mut expected = 0;
        for client in clients.into_iter().filter(|client| client.local.is_some()) {
            expected += 1;
            let peer = client.local;
            self.detail_is(peer, "direction", "Inbound");
            match client.end {
                End::Eof => {
                    self.detail_is(peer, "manner", "Fin");
                    if !client.reset_later || self.untold_resets() == 0 {
                        self.detail_is(peer, "reset", client.reset_later);
                    }
                }
                End::Reset => {
                    self.detail_is(peer, "manner", "RstSent");
                    self.detail_is(peer, "reset", true);
                }
                End::Refused | End::Ours | End::Unwatched | End::Other(_) => {}
            }
        }
        let listed = self.details().iter().filter(|one| one["direction"] != "Outbound").count();
        self.holds(listed == expected, &format!("{expected} peers listed"), &format!("there are {listed}"));
    }
}
