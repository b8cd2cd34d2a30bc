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
        <[Value; 1]>::try_from(self.listed(peer)).map(|[one]| one).unwrap_or_default()
    }

    /// The detail of each client's connection, by the client's address alone; `null` if that is not listed as often as clients had it. A port
    /// is given out again once its connection is over, so that the first to call from it is the first to have ended.
    pub fn details_of<'a>(&self, clients: impl IntoIterator<Item = &'a Seen>) -> Vec<Value> {
        let clients: Vec<&Seen> = clients.into_iter().collect();
        let detail = |client: &&Seen| {
            let same = clients.iter().filter(|other| other.local == client.local);
            let (all, earlier) = same.fold((0, 0), |(all, earlier), other| {
                (all + 1, earlier + usize::from(other.connect.0 < client.connect.0))
            });
            let mut listed = self.listed(client.local);
            if listed.len() == all { listed.swap_remove(earlier) } else { Value::Null }
        };
        clients.iter().map(detail).collect()
    }

    /// The details with this peer, in their order.
    fn listed(&self, peer: Option<SocketAddr>) -> Vec<Value> {
        let Some(peer) = peer.map(|peer| peer.to_string()) else { return Vec::new() };
        self.details().into_iter().filter(|one| one["peer"] == *peer).collect()
    }

    /// A field of the detail of the connection with this peer.
    pub fn detail_is(&mut self, peer: Option<SocketAddr>, field: &str, expected: impl Into<Value>) {
        self.field_is(&self.detail(peer), peer, field, expected);
    }

    fn field_is(&mut self, detail: &Value, peer: Option<SocketAddr>, field: &str, expected: impl Into<Value>) {
        let (expected, found) = (expected.into(), &detail[field]);
        let peer = peer.map(|peer| peer.to_string()).unwrap_or_default();
        let otherwise = if detail.is_null() {
            "it is not listed as often as clients had it".to_owned()
        } else {
            format!("it is {found}")
        };
        self.holds(*found == expected, &format!("{field} of {peer} = {expected}"), &otherwise);
    }

    /// These clients, and no other peers, are listed, each as it saw its own end.
    pub fn details_are<'a>(&mut self, clients: impl IntoIterator<Item = &'a Seen>) {
        let clients: Vec<&Seen> = clients.into_iter().filter(|client| client.local.is_some()).collect();
        for (client, detail) in clients.iter().zip(self.details_of(clients.iter().copied())) {
            let peer = client.local;
            self.field_is(&detail, peer, "direction", "Inbound");
            match client.end {
                End::Eof => {
                    self.field_is(&detail, peer, "manner", "Fin");
                    if !client.reset_later || self.untold_resets() == 0 {
                        self.field_is(&detail, peer, "reset", client.reset_later);
                    }
                }
                End::Reset => {
                    self.field_is(&detail, peer, "manner", "RstSent");
                    self.field_is(&detail, peer, "reset", true);
                }
                End::Refused | End::Ours | End::Unwatched | End::Other(_) => {}
            }
        }
        let expected = clients.len();
        let listed = self.details().iter().filter(|one| one["direction"] != "Outbound").count();
        self.holds(listed == expected, &format!("{expected} peers listed"), &format!("there are {listed}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn seen(port: u16, called: u64) -> Seen {
        Seen {
            local: Some(SocketAddr::from(([127, 0, 0, 1], port))),
            connect: (called, called + 1),
            answers: 1,
            received: 3,
            end: End::Ours,
            ended_at: called + 2,
            reset_later: false,
            steps: [0; 3],
        }
    }

    fn report(ports: &[u16]) -> Facts {
        let details: Vec<_> =
            ports.iter().zip(0..).map(|(port, n)| json!({"peer": format!("127.0.0.1:{port}"), "n": n})).collect();
        Facts::of(json!({"connections": {"details": details}}))
    }

    #[test]
    fn a_port_that_was_used_again_is_told_apart_by_the_order() {
        let clients = [seen(7, 10), seen(8, 20), seen(7, 30)];
        let found = report(&[7, 8, 7]).details_of(&clients);
        assert_eq!(found.iter().map(|detail| detail["n"].as_u64()).collect::<Vec<_>>(), [Some(0), Some(1), Some(2)]);
    }

    #[test]
    fn one_that_is_listed_too_often_or_not_at_all_is_none() {
        let clients = [seen(7, 10), seen(8, 20), seen(9, 30)];
        let found = report(&[7, 8, 8]).details_of(&clients);
        assert_eq!(found.iter().map(|detail| detail["n"].as_u64()).collect::<Vec<_>>(), [Some(0), None, None]);
        assert_eq!(report(&[7, 7]).detail(clients[0].local), Value::Null);
    }
}
