internal import BrokerCore
internal import NIOCore

extension ShardDirectory: BrokerAdministration {
    func administer(_ request: AdministrationRequest) async -> AdministrationAnswer {
        var answers: [AdministrationAnswer] = []
        for loop in request.isForAllShards ? self.loops : Array(self.loops.prefix(1)) {
            do {
                answers.append(
                    try await loop.eventLoop.flatSubmit { loop.value.administer(request) }.get()
                )
            } catch {
                return .failed(.unavailable("the broker is stopping"))
            }
        }
        return .gather(answers)
    }
}
