import Synchronization
import Testing

@testable import BrokerServer

@Suite struct DiskAlarmTests {
    @Test func holdsWhileAnybodyHasAReason() {
        let told = Mutex<[Bool]>([])
        let alarm = DiskAlarm { isSet in told.withLock { $0.append(isSet) } }
        alarm.set(.isFull, false)
        alarm.set(.isLow, true)
        alarm.set(.isFull, true)
        alarm.set(.isFull, true)
        alarm.set(.isLow, false)
        alarm.set(.isFull, false)
        alarm.set(.isFull, true)
        #expect(told.withLock { $0 } == [true, false, true])
    }
}
