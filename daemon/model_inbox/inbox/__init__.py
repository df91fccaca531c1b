"""The journey of a drop, from a file event to its answer.

In the order of the way: `watch` (hints), `folder` (what lies there), `readiness` (is the drop complete?), `claims` (out
of the producers' reach), `staging` (files of our own), `validation` (is each file what it claims?), `acceptance` (do
the operator's rules let it in?), `pipeline` (all of this in turn, and the commit), `receipts` (the answer), `endings`
(rejected, put back); beside it `deferral` (full disk: retries), `recovery` (what an earlier daemon left),
`late_scaler`, `rejected`, `states` (the table that recovery carries out), `explain`. Never loads a model and never
changes an entry by itself: the registry commits.
"""
