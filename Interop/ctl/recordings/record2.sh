cd /tmp/pol
r() { echo "=== $*"; timeout 60 ./rctl "$@" >/tmp/pol/o2 2>/tmp/pol/e2; rc=$?; echo "rc=$rc"; echo "--out"; cat -A /tmp/pol/o2; echo "--err"; cat -A /tmp/pol/e2; }
python3 - <<'P'
import pika
c=pika.BlockingConnection(pika.URLParameters("amqp://guest:guest@127.0.0.1:25901/"))
ch=c.channel()
ch.queue_declare("qa",durable=True,arguments={"x-max-length":10,"x-dead-letter-exchange":"é\t","x-tab":{"a":[1,True,None,2.5]}})
ch.queue_declare("q\tb")
ch.queue_declare("zz",durable=True,arguments={"x-queue-type":"quorum"})
ch.exchange_declare("ex1","topic",durable=True,arguments={"alternate-exchange":"amq.fanout"})
ch.queue_bind("qa","ex1","a.b",arguments={"x":1})
ch.basic_publish("","qa",b"hello")
P
r list_queues
r list_queues name policy effective_policy_definition
r list_queues name policy operator_policy
r list_queues name policy effective_policy_definition arguments type state durable auto_delete messages memory
r list_queues -q name policy arguments type durable messages_ready --formatter json
r list_queues name policy arguments type durable messages_ready --formatter pretty_table
r list_queues name policy arguments type durable messages_ready --formatter csv
r list_queues name pid owner_pid exclusive exclusive_consumer_tag messages_unacknowledged consumers consumer_utilisation head_message_timestamp message_bytes slave_pids --formatter json
r list_exchanges name type arguments policy
r list_bindings
r list_bindings --formatter json
r list_bindings --formatter pretty_table
r list_bindings source_name destination_name routing_key
r list_queues -p nope
r list_queues --no-table-headers
r list_consumers --formatter json
r set_policy neg '^(?!amq\.).*' '{"max-length":7}' --apply-to all
r set_policy f1 'x' '{"max-length":5.0}'
r set_policy apply 'x' '{"alternate-exchange":"a"}' --apply-to queues
r set_policy apply 'x' '{"max-length":1}' --apply-to exchanges
r set_policy apply 'x' '{"max-age":"1D"}' --apply-to queues
r set_policy prio 'x' '{"max-length":1}' --priority -3
r set_policy -p / --apply-to queues --priority 2 opt 'x' '{"max-length":1}'
r set_policy --vhost=/ --apply-to=queues --priority=2 opt2 'x' '{"max-length":1,"message-ttl":5,"expires":7,"overflow":"drop-head","alternate-exchange":"x"}'
r set_policy dup 'x' '{"dead-letter-routing-key":"a"}'
r set_policy nan 'x' '{"message-ttl":99999999999999}'
r set_policy re1 '(a)\1' '{"max-length":1}'
r set_policy re2 '[' '{"max-length":1}'
r set_policy re3 '*a' '{"max-length":1}'
r set_policy re4 'a{2,1}' '{"max-length":1}'
r set_policy re5 '(?>a)' '{"max-length":1}'
r set_policy re6 'a\' '{"max-length":1}'
r set_policy re7 ')' '{"max-length":1}'
r set_policy '' '' '{"max-length":1}'
r list_policies
r purge_queue qa
r delete_queue qa
r delete_queue qa
r trace_on -p nope
r help set_policy
