import AMQPProtocol
import Testing

@Suite struct MethodIDTests {
    @Test func joinsClassAndMethod() {
        let id = MethodID(classID: 50, methodID: 10)
        #expect(id.rawValue == 0x0032_000A)
        #expect(MethodID(rawValue: 0x0032_000A) == id)
        #expect(id.name == "queue.declare")
        #expect("\(id)" == "queue.declare")
        #expect(MethodID.none.rawValue == 0)
    }
}
