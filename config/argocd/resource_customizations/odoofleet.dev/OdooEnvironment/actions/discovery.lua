-- Which of the actions make sense now.
local replicas = obj.spec.replicas
if replicas == nil then
  replicas = 1
end
local leaving = obj.metadata.deletionTimestamp ~= nil
local offline = obj.spec.placement == "Offline"

local actions = {}
actions["start"] = { disabled = replicas > 0 or leaving or offline, iconClass = "fa fa-fw fa-play", displayName = "Start" }
actions["stop"] = { disabled = replicas == 0 or leaving or offline, iconClass = "fa fa-fw fa-stop", displayName = "Stop" }
actions["restart"] = { disabled = replicas == 0 or leaving or offline, iconClass = "fa fa-fw fa-redo", displayName = "Restart" }
return actions
