{
    "name": "OdooFleet licence: example",
    "summary": "How a module asks whether the licence includes a feature",
    "version": "1.0.0",
    "author": "OdooFleet contributors",
    "license": "LGPL-3",
    "category": "Technical",
    "depends": ["odoofleet_license"],
}
