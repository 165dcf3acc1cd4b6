r() { echo "=== $*"; timeout 60 ./rctl "$@" >/tmp/pol/o 2>/tmp/pol/e; rc=$?; echo "rc=$rc"; echo "--out"; cat -A /tmp/pol/o; echo "--err"; cat -A /tmp/pol/e; }
r set_policy p1 '^q' '{"max-length":10}' --priority 5 --apply-to queues
r set_policy p2 '^ex' '{"alternate-exchange":"ae"}' --apply-to exchanges
r set_policy -q p3 '.*' '{"message-ttl":1000,"dead-letter-exchange":"dlx","max-length-bytes":5}'
r list_policies
r list_policies -q
r list_policies -s
r list_policies --formatter json
r list_policies --formatter pretty_table
r list_policies --formatter csv
r list_policies -p nope
r list_policies -p nope --formatter json
r set_operator_policy op1 '^q' '{"max-length":3}' --priority 1 --apply-to queues
r list_operator_policies
r list_operator_policies --formatter json
r list_operator_policies --formatter pretty_table
r list_queues name policy operator_policy effective_policy_definition arguments type state durable auto_delete messages memory
r list_queues name policy operator_policy effective_policy_definition arguments type state durable auto_delete messages --formatter json
r list_queues name messages --formatter pretty_table
r list_queues bogus
r list_queues
r list_exchanges
r list_exchanges name type durable auto_delete internal arguments policy --formatter json
r list_exchanges name policy arguments
r list_bindings
r list_bindings --formatter json
r list_bindings source_name destination_kind
r clear_policy p1
r clear_policy p1
r clear_operator_policy op1
r clear_operator_policy op1
r set_policy bad '(' '{"max-length":10}'
r set_policy bad 'x' '{"max-length":-1}'
r set_policy bad 'x' '{"max-length":"a"}'
r set_policy bad 'x' '{"message-ttl":-1}'
r set_policy bad 'x' '{"expires":0}'
r set_policy bad 'x' '{"nokey":0}'
r set_policy bad 'x' '{"nokey":0,"other":1}'
r set_policy bad 'x' '{}'
r set_policy bad 'x' '[]'
r set_policy bad 'x' 'notjson'
r set_policy bad 'x' '{"overflow":"x"}'
r set_policy bad 'x' '{"overflow":1}'
r set_policy bad 'x' '{"dead-letter-exchange":1}'
r set_policy bad 'x' '{"dead-letter-routing-key":1}'
r set_policy bad 'x' '{"dead-letter-strategy":"x"}'
r set_policy bad 'x' '{"delivery-limit":-1}'
r set_policy bad 'x' '{"delivery-limit":"a"}'
r set_policy bad 'x' '{"queue-mode":"x"}'
r set_policy bad 'x' '{"queue-version":3}'
r set_policy bad 'x' '{"max-age":"1X"}'
r set_policy bad 'x' '{"alternate-exchange":1}'
r set_policy bad 'x' '{"max-length-bytes":-1}'
r set_policy bad 'x' '{"max-in-memory-length":-1}'
r set_policy bad 'x' '{"queue-master-locator":"x"}'
r set_policy bad 'x' '{"queue-leader-locator":"x"}'
r set_policy bad 'x' '{"ha-mode":"x"}'
r set_policy ok 'x' '{"ha-mode":"all"}'
r set_policy bad 'x' '{"max-length":10}' --apply-to foo
r set_policy bad 'x' '{"max-length":10}' --apply-to classic_queues
r set_policy bad 'x' '{"max-length":10}' --priority abc
r set_policy bad 'x' '{"max-length":10}' --priority 1.5
r set_policy bad 'x'
r set_policy bad 'x' '{"max-length":10}' extra
r set_policy -p nope bad 'x' '{"max-length":10}'
r set_operator_policy bad 'x' '{"dead-letter-exchange":"x"}'
r set_operator_policy bad 'x' '{"overflow":"x"}'
r set_operator_policy bad 'x' '{"overflow":"reject-publish"}'
r set_operator_policy bad 'x' '{"nokey":1}'
r set_policy bad 'x' '{"max-length":1.5}'
r set_policy bad 'x' '{"max-length":true}'
r set_policy bad 'x' '{"max-length":1,"message-ttl":-1,"expires":0}'
r bogus_command
r set_policy --bogus a b '{"max-length":1}'
r trace_on
r trace_off
r trace_on -p nope
r help set_policy
r help
r status
r status --formatter json
r list_policies --formatter bogus
r list_consumers
r ping
r list_vhosts
r version
r
